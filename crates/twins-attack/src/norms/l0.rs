use crate::draws::Draws;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::norms::geometry::Geometry;
use crate::norms::norm::Norm;

/// The number of values that are not zero. Epsilon is the number of values of an image that may change.
pub(super) struct L0;

pub(super) fn length(values: impl Iterator<Item = f32>) -> f32 {
    values.filter(|v| *v != 0.0).count() as f32
}

impl Geometry for L0 {
    fn name(&self) -> &'static str {
        "l0"
    }

    fn symbol(&self) -> &'static str {
        "L0"
    }

    fn dual(&self) -> Option<Norm> {
        None
    }

    /// Epsilon must be a count. A fraction is not rounded, because it was more likely meant as a fraction of the
    /// image's values or as a radius for another norm.
    fn check_epsilon(&self, epsilon: f32) -> Result<(), AttackError> {
        if epsilon.fract() == 0.0 { Ok(()) } else { Err(SettingError::L0Epsilon { epsilon }.into()) }
    }

    /// A value has either changed or not, so there is no rounding.
    fn tolerance(&self, _epsilon: f32) -> f32 {
        0.0
    }

    /// The nearest point: `epsilon` values move as far as the box allows, and the others stay at the origin.
    ///
    /// If a value moves by `r` where `y = point - origin` was wanted, the squared distance from the point decreases by
    /// `y² - (y - r)² = r (2 y - r)`. The values are independent of each other, so those with the largest decrease are
    /// kept (Croce & Hein 2019, arXiv 1909.05040, there for pixels). Choosing the largest `r` would give a different
    /// result: a value far outside a near wall decreases the distance more than a longer move inside the box. Among
    /// equal values, the first are kept.
    fn project(&self, origin: &[f32], point: &mut [f32], epsilon: f32) {
        let mut gains = Vec::new();
        for (place, (p, &x)) in point.iter_mut().zip(origin).enumerate() {
            let wanted = f64::from(*p) - f64::from(x);
            *p = p.clamp(0.0, 1.0);
            if *p != x {
                let moved = f64::from(*p) - f64::from(x);
                gains.push((moved * (2.0 * wanted - moved), place));
            }
        }
        let kept = epsilon as usize;
        if gains.len() <= kept {
            return;
        }
        gains.select_nth_unstable_by(kept, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        gains[kept..].iter().for_each(|&(_, place)| point[place] = origin[place]);
    }

    /// Draws as many positions as epsilon allows, each with a value drawn uniformly from the box.
    fn random_start(&self, origin: &[f32], epsilon: f32, draws: &mut Draws) -> Vec<f32> {
        let mut places: Vec<usize> = (0..origin.len()).collect();
        let mut point = origin.to_vec();
        for i in 0..origin.len().min(epsilon as usize) {
            places.swap(i, i + draws.below(origin.len() - i));
            point[places[i]] = draws.uniform();
        }
        point
    }

    /// `g / (‖g‖₁ + 1e-10)`, the step of the authors' PGD for L0 (Croce & Hein 2019). A length in L0 does not bound a
    /// step, so the direction has length one in L1. The projection makes the sum sparse.
    fn steepest(&self, gradient: &[f32], _support: usize, direction: &mut [f32]) {
        let length = Norm::L1.length(gradient.iter().copied()) + 1e-10;
        direction.iter_mut().zip(gradient).for_each(|(d, &g)| *d = g / length);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn projected(origin: &[f32], point: &[f32], epsilon: f32) -> Vec<f32> {
        let mut result = point.to_vec();
        L0.project(origin, &mut result, epsilon);
        result
    }

    #[test]
    fn the_largest_changes_are_kept() {
        let origin = [0.5; 4];
        assert_eq!(projected(&origin, &[0.75, 0.25, 0.5, 0.0], 1.0), [0.5, 0.5, 0.5, 0.0]);
        // Of the two equal changes the first.
        assert_eq!(projected(&origin, &[0.75, 0.25, 0.5, 0.0], 2.0), [0.75, 0.5, 0.5, 0.0]);
        assert_eq!(projected(&origin, &[0.75, 0.25, 0.5, 0.0], 3.0), [0.75, 0.25, 0.5, 0.0]);
        assert_eq!(projected(&origin, &[2.0, 0.25, 0.5, -1.0], 9.0), [1.0, 0.25, 0.5, 0.0]);
        assert_eq!(projected(&origin, &[2.0, 0.25, 0.5, -1.0], 0.0), origin);
    }

    #[test]
    fn what_the_box_cuts_off_counts_too() {
        // The first value can move by 0.25 of the wanted 1: gain 1 - 0.75² = 0.4375. The second moves by 0.5: gain 0.25.
        assert_eq!(projected(&[0.75, 0.25], &[1.75, 0.75], 1.0), [1.0, 0.25]);
        // A value that is at the wall already cannot move, whatever is wanted.
        assert_eq!(projected(&[1.0, 0.25], &[9.0, 0.5], 1.0), [1.0, 0.5]);
    }

    #[test]
    fn hand_computed_direction() {
        let mut direction = [0.0; 4];
        L0.steepest(&[2.0, 0.0, -5.0, 1.0], 2, &mut direction);
        // 1e-10 is lost beside a length of 8.
        assert_eq!(direction, [0.25, 0.0, -0.625, 0.125]);
        L0.steepest(&[1e-10, 0.0], 2, &mut direction[..2]);
        assert_eq!(direction[..2], [0.5, 0.0]);
    }

    #[test]
    fn a_radius_is_a_whole_number() {
        for (epsilon, part) in
            [(0.5, "0.5"), (8.0 / 255.0, "a radius on the [0, 1] scale"), (2.5, "give 2 or 3")]
        {
            let error = L0.check_epsilon(epsilon).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("how many values"), "{error}");
        }
        for epsilon in [0.0, 1.0, 24.0] {
            L0.check_epsilon(epsilon).unwrap();
        }
    }

    #[test]
    fn random_starts_use_the_radius_and_every_place() {
        let origin = [2.0; 6];
        let mut counts = [0; 6];
        let mut draws = Draws::new(0, 0, "test", 0);
        for _ in 0..600 {
            let start = L0.random_start(&origin, 2.0, &mut draws);
            // No value of the box is equal to the origin's.
            let changed = (0..6).filter(|&i| start[i] != origin[i]);
            assert_eq!(changed.map(|i| counts[i] += 1).count(), 2);
        }
        // Binomial with 600 draws of probability 1/3: five standard deviations are 58.
        assert!(counts.iter().all(|count| (142..=258).contains(count)), "{counts:?}");
        assert!(L0.random_start(&origin, 9.0, &mut draws).iter().all(|p| *p < 1.0));
    }

    proptest! {
        #[test]
        fn no_feasible_point_is_nearer(
            case in (1usize..8).prop_flat_map(|d| (
                prop::collection::vec(0.0f32..=1.0, d), prop::collection::vec(-2.0f32..3.0, d),
            )),
            epsilon in 0u32..9,
        ) {
            let (origin, point) = case;
            let squared = |z: &[f32]| -> f64 {
                z.iter().zip(&point).map(|(z, p)| (f64::from(*z) - f64::from(*p)).powi(2)).sum()
            };
            let nearest = squared(&projected(&origin, &point, epsilon as f32));
            // For each set of values that may change, the nearest point of the box.
            for places in (0u32..1 << origin.len()).filter(|places| places.count_ones() <= epsilon) {
                let value = |i: usize| if places >> i & 1 == 1 { point[i].clamp(0.0, 1.0) } else { origin[i] };
                let competitor: Vec<f32> = (0..origin.len()).map(value).collect();
                // Roundings of f64 in sums below 100.
                prop_assert!(nearest <= squared(&competitor) + 1e-12);
            }
        }
    }
}
