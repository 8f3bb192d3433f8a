use burn::tensor::Tensor;

use crate::draws::Draws;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::norms::geometry::{Geometry, sign};
use crate::norms::norm::Norm;

/// The largest absolute value.
pub(super) struct Linf;

pub(super) fn length(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(0.0, |longest, v| v.abs().max(longest))
}

impl Geometry for Linf {
    fn name(&self) -> &'static str {
        "linf"
    }

    fn symbol(&self) -> &'static str {
        "Linf"
    }

    fn dual(&self) -> Option<Norm> {
        Some(Norm::L1)
    }

    /// A radius of 1 already allows every image.
    fn check_epsilon(&self, epsilon: f32) -> Result<(), AttackError> {
        if epsilon > 1.0 { Err(SettingError::LinfEpsilon { epsilon }.into()) } else { Ok(()) }
    }

    /// A few roundings of `x + epsilon`, 6e-8 each.
    fn tolerance(&self, _epsilon: f32) -> f32 {
        1e-6
    }

    /// The nearest point, value by value.
    fn project(&self, origin: &[f32], point: &mut [f32], epsilon: f32) {
        for (p, &x) in point.iter_mut().zip(origin) {
            *p = p.max(x - epsilon).min(x + epsilon).clamp(0.0, 1.0);
        }
    }

    fn random_offset(&self, values: usize, epsilon: f32, draws: &mut Draws) -> Option<Vec<f32>> {
        Some((0..values).map(|_| draws.symmetric() * epsilon).collect())
    }

    fn noise(&self, draws: &mut Draws) -> f32 {
        draws.symmetric()
    }

    /// `sign(g)` with `sign(0) = 0`.
    fn steepest(&self, gradient: &[f32], _support: usize, direction: &mut [f32]) {
        direction.iter_mut().zip(gradient).for_each(|(d, &g)| *d = sign(g));
    }

    fn project_batch(
        &self,
        images: &Tensor<4>,
        points: Tensor<4>,
        epsilon: f32,
    ) -> Result<Tensor<4>, AttackError> {
        let nearest = points.max_pair(images.clone() - epsilon).min_pair(images.clone() + epsilon);
        Ok(nearest.clamp(0.0, 1.0))
    }

    fn steepest_batch(&self, gradient: Tensor<4>, _support: usize) -> Result<Tensor<4>, AttackError> {
        Ok(gradient.sign())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_computed_projection_and_direction() {
        let mut point = [1.5, -0.5, 0.5];
        Linf.project(&[0.5, 0.125, 0.5], &mut point, 0.25);
        assert_eq!(point, [0.75, 0.0, 0.5]);
        let mut direction = [0.5; 4];
        Linf.steepest(&[3.0, 0.0, -4.0, 0.5], 2, &mut direction);
        assert_eq!(direction, [1.0, 0.0, -1.0, 1.0]);
    }

    #[test]
    fn a_radius_in_levels_of_255_is_refused() {
        for (epsilon, part) in
            [(8.0, "did you mean 8/255?"), (1.5, "did you mean 1.5/255?"), (300.0, "such as 8/255")]
        {
            let error = Linf.check_epsilon(epsilon).unwrap_err().to_string();
            let begin = format!("epsilon {epsilon} is above 1: images are in [0, 1]; ");
            assert!(error.starts_with(&begin) && error.ends_with(part), "{error}");
        }
        Linf.check_epsilon(1.0).unwrap();
    }
}
