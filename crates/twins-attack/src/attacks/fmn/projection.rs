//! Projections of an offset onto a ball around zero, without the box. The threat model's own projections in L1 and L0
//! take the box into account; FMN clips to the box afterwards instead.

use super::config::L2Projection;
use crate::norms::norm::Norm;
use crate::norms::shrinkage::{Magnitude, shrinkage};

/// Moves the offset into the ball of this radius, or, in L2 and if so configured, onto its surface.
pub(super) fn project(norm: Norm, in_l2: L2Projection, offset: &mut [f32], radius: f32) {
    match norm {
        Norm::Linf => offset.iter_mut().for_each(|o| *o = o.max(-radius).min(radius)),
        Norm::L2 => {
            let length = Norm::L2.length(offset.iter().copied());
            if length > radius || in_l2 == L2Projection::Sphere {
                let scale = radius / length.max(1e-12);
                offset.iter_mut().for_each(|o| *o *= scale);
            }
        }
        Norm::L1 => {
            let threshold = soft_threshold(offset, radius);
            offset.iter_mut().for_each(|o| *o = (o.abs() - threshold).max(0.0).copysign(*o));
        }
        Norm::L0 => keep_largest(offset, radius as usize),
    }
}

/// The amount `θ` by which every magnitude shrinks in the projection onto the L1 ball, `Σ max(|v| - θ, 0) = radius`
/// (Duchi et al. 2008). It is 0 inside the ball.
fn soft_threshold(values: &[f32], radius: f32) -> f32 {
    if Norm::L1.length(values.iter().copied()) <= radius {
        return 0.0;
    }
    let magnitudes = values.iter().map(|v| Magnitude { length: f64::from(v.abs()), room: f64::INFINITY });
    shrinkage(magnitudes.collect(), f64::from(radius)) as f32
}

/// Keeps the values with the `count` largest magnitudes (at least one), including ties with the smallest of them.
fn keep_largest(values: &mut [f32], count: usize) {
    let mut magnitudes: Vec<f32> = values.iter().map(|v| v.abs()).collect();
    if count >= magnitudes.len() {
        return;
    }
    let place = count.max(1) - 1;
    let smallest = *magnitudes.select_nth_unstable_by(place, |a, b| b.total_cmp(a)).1;
    values.iter_mut().filter(|v| v.abs() < smallest).for_each(|v| *v = 0.0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn projected(norm: Norm, offset: &[f32], radius: f32) -> Vec<f32> {
        let mut result = offset.to_vec();
        project(norm, L2Projection::Ball, &mut result, radius);
        result
    }

    #[test]
    fn hand_computed_projections() {
        let offset = [3.0, -4.0, 0.0];
        assert_eq!(projected(Norm::Linf, &offset, 3.5), [3.0, -3.5, 0.0]);
        assert_eq!(projected(Norm::L2, &offset, 2.5), [1.5, -2.0, 0.0]);
        // |3 - θ| + |4 - θ| = 5 at θ = 1, and |4 - θ| = 0.5 at θ = 3.5.
        assert_eq!(projected(Norm::L1, &offset, 5.0), [2.0, -3.0, 0.0]);
        assert_eq!(projected(Norm::L1, &offset, 0.5), [0.0, -0.5, 0.0]);
        assert_eq!(projected(Norm::L0, &offset, 1.0), [0.0, -4.0, 0.0]);
    }

    #[test]
    fn the_sphere_is_reached_from_inside_and_outside() {
        for (offset, radius, expected) in [([0.75, -1.0], 2.5, [1.5, -2.0]), ([3.0, -4.0], 2.5, [1.5, -2.0])]
        {
            let mut result = offset;
            project(Norm::L2, L2Projection::Sphere, &mut result, radius);
            assert_eq!(result, expected);
        }
        let mut zero = [0.0; 2];
        project(Norm::L2, L2Projection::Sphere, &mut zero, 1.0);
        assert_eq!(zero, [0.0; 2]);
    }

    #[test]
    fn a_count_keeps_ties_and_at_least_one_value() {
        assert_eq!(projected(Norm::L0, &[1.0, -2.0, 2.0, 0.5], 1.0), [0.0, -2.0, 2.0, 0.0]);
        assert_eq!(projected(Norm::L0, &[1.0, -3.0, 2.0, 0.5], 0.0), [0.0, -3.0, 0.0, 0.0]);
        assert_eq!(projected(Norm::L0, &[1.0, -3.0, 2.0, 0.5], 9.0), [1.0, -3.0, 2.0, 0.5]);
    }

    proptest! {
        #[test]
        fn a_projection_lands_inside_and_keeps_what_is_inside(
            norm in prop::sample::select(vec![Norm::Linf, Norm::L2, Norm::L1]),
            offset in prop::collection::vec(-2.0f32..2.0, 1..40),
            radius in 0.01f32..4.0,
        ) {
            let once = projected(norm, &offset, radius);
            // Roundings of the threshold and of up to 40 values of size 2.
            prop_assert!(norm.length(once.iter().copied()) <= radius + 1e-5);
            if norm.length(offset.iter().copied()) <= radius {
                prop_assert_eq!(once, offset);
            }
        }
    }
}
