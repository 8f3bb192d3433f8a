use burn::tensor::Tensor;

use crate::draws::Draws;
use crate::error::AttackError;
use crate::norms::geometry::Geometry;
use crate::norms::norm::Norm;

/// The Euclidean length.
pub(super) struct L2;

pub(super) fn length(values: impl Iterator<Item = f32>) -> f32 {
    values.map(|v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt() as f32
}

/// The length of each image of a batch, `[batch, 1, 1, 1]`.
fn lengths(batch: &Tensor<4>) -> Tensor<4> {
    (batch.clone() * batch.clone()).sum_dims(&[1, 2, 3]).sqrt()
}

impl Geometry for L2 {
    fn name(&self) -> &'static str {
        "l2"
    }

    fn symbol(&self) -> &'static str {
        "L2"
    }

    fn dual(&self) -> Option<Norm> {
        Some(Norm::L2)
    }

    fn check_epsilon(&self, _epsilon: f32) -> Result<(), AttackError> {
        Ok(())
    }

    /// Allows for the rounding errors of up to 150 000 values, which add up.
    fn tolerance(&self, epsilon: f32) -> f32 {
        1e-4 * epsilon
    }

    /// Scales the point onto the ball, then clips it to the box, as the published attacks do. The result lies in both,
    /// because the box contains the origin, but it is not always the nearest such point.
    fn project(&self, origin: &[f32], point: &mut [f32], epsilon: f32) {
        let length = length(point.iter().zip(origin).map(|(p, x)| p - x));
        let scale = (epsilon / length).min(1.0);
        for (p, &x) in point.iter_mut().zip(origin) {
            // Inside the ball, the values remain bit-identical.
            let inside = if scale < 1.0 { x + (*p - x) * scale } else { *p };
            *p = inside.clamp(0.0, 1.0);
        }
    }

    /// Normal values have a uniformly distributed direction, and the n-th root of a uniform number is the length.
    fn random_offset(&self, values: usize, epsilon: f32, draws: &mut Draws) -> Option<Vec<f32>> {
        let mut offset: Vec<f32> = (0..values).map(|_| draws.gaussian()).collect();
        let root = draws.uniform().powf((values as f32).recip());
        let length = length(offset.iter().copied()) / root;
        // Finite, even if all draws are zero.
        let scale = (epsilon / length).min(f32::MAX);
        offset.iter_mut().for_each(|value| *value *= scale);
        Some(offset)
    }

    /// `g / (‖g‖₂ + 1e-12)`.
    fn steepest(&self, gradient: &[f32], _support: usize, direction: &mut [f32]) {
        let length = length(gradient.iter().copied()) + 1e-12;
        direction.iter_mut().zip(gradient).for_each(|(d, &g)| *d = g / length);
    }

    fn project_batch(
        &self,
        images: &Tensor<4>,
        points: Tensor<4>,
        epsilon: f32,
    ) -> Result<Tensor<4>, AttackError> {
        let offset = points - images.clone();
        let scale = (lengths(&offset) + 1e-12).recip().mul_scalar(epsilon).clamp(0.0, 1.0);
        Ok((images.clone() + offset * scale).clamp(0.0, 1.0))
    }

    fn steepest_batch(&self, gradient: Tensor<4>, _support: usize) -> Result<Tensor<4>, AttackError> {
        let length = lengths(&gradient) + 1e-12;
        Ok(gradient / length)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn hand_computed_projection_and_direction() {
        let mut point = [0.5 + 0.3, 0.5 - 0.4];
        L2.project(&[0.5, 0.5], &mut point, 0.25);
        // (0.3, -0.4) has length 0.5 and is halved; one rounding of f32.
        assert!((point[0] - 0.65).abs() < 1e-6 && (point[1] - 0.3).abs() < 1e-6);

        let (gradient, mut direction) = ([3.0, 0.0, -4.0, 0.5], [0.0; 4]);
        L2.steepest(&gradient, 2, &mut direction);
        let length = 25.25_f32.sqrt();
        for (d, g) in direction.iter().zip(gradient) {
            assert!((d - g / length).abs() < 1e-6);
        }
    }

    #[test]
    fn a_point_inside_stays_the_same_to_the_last_bit() {
        // The sum of 0.7 and the deviation would lose all digits of 1e-12.
        let mut point = [1e-12, 0.5];
        L2.project(&[0.7, 0.5], &mut point, 0.75);
        assert_eq!(point, [1e-12, 0.5]);
    }

    #[test]
    fn tiny_gradients_and_offsets_keep_their_signs() {
        let tensor = |values: [f32; 2]| Tensor::<4>::from_floats([[[values]]], &Device::flex());
        let host = |tensor: Tensor<4>| tensor.try_into_vec_as::<f32>().unwrap();
        let mut direction = [0.0; 2];
        L2.steepest(&[3e-12, 0.0], 2, &mut direction);
        let batch = host(L2.steepest_batch(tensor([3e-12, 0.0]), 2).unwrap());
        for d in [direction[0], batch[0]] {
            // 3 / (3 + 1), with a few roundings of f32.
            assert!((d - 0.75).abs() < 1e-6, "{d}");
        }
        let inside = L2.project_batch(&tensor([0.0; 2]), tensor([5e-13, 0.0]), 1.0).unwrap();
        assert_eq!(host(inside), [5e-13, 0.0]);
    }
}
