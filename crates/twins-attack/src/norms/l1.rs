use crate::draws::Draws;
use crate::error::AttackError;
use crate::norms::geometry::{Geometry, sign};
use crate::norms::norm::Norm;
use crate::norms::shrinkage::{Magnitude, shrinkage};

/// The sum of the absolute values.
pub(super) struct L1;

pub(super) fn length(values: impl Iterator<Item = f32>) -> f32 {
    values.map(|v| f64::from(v).abs()).sum::<f64>() as f32
}

impl Geometry for L1 {
    fn name(&self) -> &'static str {
        "l1"
    }

    fn symbol(&self) -> &'static str {
        "L1"
    }

    fn dual(&self) -> Option<Norm> {
        Some(Norm::Linf)
    }

    fn check_epsilon(&self, _epsilon: f32) -> Result<(), AttackError> {
        Ok(())
    }

    /// Allows for the rounding errors of up to 150 000 values, which add up.
    fn tolerance(&self, epsilon: f32) -> f32 {
        1e-4 * epsilon
    }

    /// The nearest point of the intersection, because clipping after an L1 projection wastes most of the radius.
    fn project(&self, origin: &[f32], point: &mut [f32], epsilon: f32) {
        project_l1(origin, point, epsilon);
    }

    /// Laplace values, divided by the sum of their magnitudes and one more exponential, are uniform in the ball.
    fn random_offset(&self, values: usize, epsilon: f32, draws: &mut Draws) -> Option<Vec<f32>> {
        let mut offset: Vec<f32> = (0..values).map(|_| draws.sign() * draws.exponential()).collect();
        let length = length(offset.iter().copied()) + draws.exponential();
        // Finite, even if all draws are zero.
        let scale = (epsilon / length).min(f32::MAX);
        offset.iter_mut().for_each(|value| *value *= scale);
        Some(offset)
    }

    /// `sign(g)` on the `support` values with the largest `|g|` (ties included), divided by their number.
    fn steepest(&self, gradient: &[f32], support: usize, direction: &mut [f32]) {
        let threshold = largest_magnitude(gradient, support);
        for (d, &g) in direction.iter_mut().zip(gradient) {
            *d = if g.abs() >= threshold { sign(g) } else { 0.0 };
        }
        let support = direction.iter().filter(|d| **d != 0.0).count().max(1) as f32;
        direction.iter_mut().for_each(|d| *d /= support);
    }
}

/// The `rank`-th largest magnitude, where 1 is the largest.
fn largest_magnitude(values: &[f32], rank: usize) -> f32 {
    let mut magnitudes: Vec<f32> = values.iter().map(|v| v.abs()).collect();
    let place = magnitudes.len() - rank.clamp(1, magnitudes.len());
    *magnitudes.select_nth_unstable_by(place, f32::total_cmp).1
}

/// Euclidean projection onto the intersection of an L1 ball and the box [0, 1]:
/// `argmin_z ‖z - point‖₂` subject to `‖z - origin‖₁ ≤ epsilon` and `0 ≤ z ≤ 1`.
///
/// The minimiser shrinks every deviation `y = point - origin` by a common amount `α ≥ 0`, and at least into the box:
/// `|z - origin| = min(room, max(0, |y| - α))`, where `room` is the distance from the origin to the box's wall in the
/// direction of `y` (Croce & Hein 2021, "Mind the box", Sec. 3.1, arXiv 2103.01208). `α` is found in expected linear
/// time by [selection](shrinkage).
fn project_l1(origin: &[f32], point: &mut [f32], epsilon: f32) {
    let mut inside = 0.0_f64;
    for (p, &x) in point.iter_mut().zip(origin) {
        inside += f64::from((p.clamp(0.0, 1.0) - x).abs());
    }
    if inside <= f64::from(epsilon) {
        point.iter_mut().for_each(|p| *p = p.clamp(0.0, 1.0));
        return;
    }
    let alpha = alpha(origin, point, f64::from(epsilon));
    for (p, &x) in point.iter_mut().zip(origin) {
        let deviation = f64::from(*p) - f64::from(x);
        let shrunk = (deviation.abs() - alpha).max(0.0) * deviation.signum();
        *p = ((f64::from(x) + shrunk) as f32).clamp(0.0, 1.0);
    }
    if epsilon < SMALL {
        into_small_ball(origin, point, epsilon);
    }
}

/// A radius below which the difference of a deviation and `α` may lose so many digits that the point ends outside the
/// ball. Both have about 16 digits, and a deviation may be of size 1.
const SMALL: f32 = 1e-6;

/// Scales the deviations if they are longer than the radius.
fn into_small_ball(origin: &[f32], point: &mut [f32], epsilon: f32) {
    let length = length(point.iter().zip(origin).map(|(p, x)| p - x));
    if length > epsilon {
        let scale = epsilon / length;
        point.iter_mut().zip(origin).for_each(|(p, &x)| *p = x + (*p - x) * scale);
    }
}

/// The `α` for which the shrunk deviations sum to `epsilon`, provided that their sum is larger at `α = 0`.
fn alpha(origin: &[f32], point: &[f32], epsilon: f64) -> f64 {
    let of = |(&p, &x): (&f32, &f32)| {
        let deviation = f64::from(p) - f64::from(x);
        let room = if deviation.is_sign_negative() { f64::from(x) } else { 1.0 - f64::from(x) };
        // After a sparse step, most values are unchanged.
        (deviation != 0.0).then(|| Magnitude { length: deviation.abs(), room })
    };
    shrinkage(point.iter().zip(origin).filter_map(of).collect(), epsilon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hand_computed_direction() {
        let mut direction = [0.0; 7];
        // Of the two largest, the second is tied with a third.
        L1.steepest(&[0.75, 0.0, -1.0, 0.125, -0.75, 0.25, 0.0], 2, &mut direction);
        assert_eq!(direction, [1.0 / 3.0, 0.0, -1.0 / 3.0, 0.0, -1.0 / 3.0, 0.0, 0.0]);
    }

    fn projected(origin: &[f32], point: &[f32], epsilon: f32) -> Vec<f32> {
        let mut result = point.to_vec();
        project_l1(origin, &mut result, epsilon);
        result
    }

    #[test]
    fn soft_threshold_where_the_box_does_not_bind() {
        // |y| = (0.3, 0.2, 0.1), epsilon 0.3: α = 0.1.
        let z = projected(&[0.5; 3], &[0.8, 0.3, 0.6], 0.3);
        for (z, expected) in z.iter().zip([0.7, 0.4, 0.5]) {
            assert!((z - expected).abs() < 1e-6, "{z} {expected}");
        }
    }

    #[test]
    fn the_wall_leaves_the_others_more_room_than_ball_then_clip() {
        // y = (0.9, 0.3), the wall allows 0.1 for the first: α = 0.1 solves 0.1 + (0.3 - α) = 0.3.
        // Ball-then-clip would give α = 0.45 and the point (1.0, 0.5).
        let z = projected(&[0.9, 0.5], &[1.8, 0.8], 0.3);
        assert!((z[0] - 1.0).abs() < 1e-6 && (z[1] - 0.7).abs() < 1e-6, "{z:?}");
    }

    #[test]
    fn a_tiny_ball_is_not_left() {
        for epsilon in [1e-12, 1e-20] {
            let z = projected(&[0.0; 3], &[0.9, 1.3, 0.7], epsilon);
            // Two roundings of f32.
            assert!(length(z.iter().copied()) <= epsilon * (1.0 + 2e-7), "{z:?}");
        }
        // All of the radius goes to the largest deviation. A few roundings of f32.
        let z = projected(&[0.0, 2e-12, 0.0], &[0.9, 1.3, 0.7], 1e-12);
        assert!(z[0] == 0.0 && (z[1] - 3e-12).abs() <= 3e-18 && z[2] == 0.0, "{z:?}");
    }

    #[test]
    fn a_point_inside_stays_the_same_to_the_last_bit() {
        // The sum of 0.7 and the deviation would lose most digits of 1e-12, even in f64.
        assert_eq!(projected(&[0.7, 0.5], &[1e-12, 0.5], 0.75), [1e-12, 0.5]);
    }

    #[test]
    fn a_corner_at_exactly_the_radius_is_reached() {
        // The walls are 1 - 2e-8 and 2e-8 away. f32 rounds the first distance to 1, so that the corner seems to lie
        // outside, but shrinking leaves both values at their walls.
        assert_eq!(projected(&[2e-8; 2], &[3.0, -1.0], 1.0), [1.0, 0.0]);
    }

    #[test]
    fn zero_radius_gives_the_origin() {
        assert_eq!(projected(&[0.25, 1.0], &[0.5, 0.0], 0.0), [0.25, 1.0]);
    }

    proptest! {
        #[test]
        fn no_feasible_point_is_nearer(
            case in (1usize..8).prop_flat_map(|d| (
                prop::collection::vec(0.0f32..=1.0, d),
                prop::collection::vec(-1.0f32..2.0, d),
                prop::collection::vec(0.0f32..=1.0, d),
            )),
            epsilon in 0.01f32..3.0,
        ) {
            let (origin, point, other) = case;
            let z = projected(&origin, &point, epsilon);
            // Shrink the random competitor into the ball: it stays in the box because the origin is in it.
            let length: f32 = other.iter().zip(&origin).map(|(o, x)| (o - x).abs()).sum();
            let scale = (epsilon / length.max(1e-9)).min(1.0);
            let squared = |a: &dyn Fn(usize) -> f32| -> f32 { (0..origin.len()).map(|i| (a(i) - point[i]).powi(2)).sum() };
            let competitor = squared(&|i| origin[i] + scale * (other[i] - origin[i]));
            // f32 sums of at most 8 terms of size at most 4.
            prop_assert!(squared(&|i| z[i]) <= competitor + 1e-5);
        }
    }
}
