//! Sums over one plane: in single precision within pieces that fit the first-level cache, and in double precision
//! across pieces.

/// Length of a piece: short enough for the rounding error of single-precision sums to be negligible.
const PIECE: usize = 1024;

/// Number of independent partial sums, so that the compiler can use vector registers.
const LANES: usize = 16;

/// Number, mean and sum of squared deviations of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moments {
    pub(super) count: f64,
    pub(super) mean: f64,
    pub(super) squares: f64,
}

impl Moments {
    pub(super) const NONE: Self = Self { count: 0.0, mean: 0.0, squares: 0.0 };

    pub(super) fn of(values: &[f32]) -> Self {
        values.chunks(PIECE).map(piece).fold(Self::NONE, Self::merge)
    }

    /// Computes the moments from the sums of the distances from a centre near the mean, and of their squares.
    pub(super) fn around(centre: f32, count: f64, [first, second]: [f64; 2]) -> Self {
        Self {
            count,
            // The first sum corrects the rounding of the centre.
            mean: f64::from(centre) + first / count,
            squares: (second - first * first / count).max(0.0),
        }
    }

    /// Whether single precision was enough for the sums.
    pub(super) fn is_finite(&self) -> bool {
        self.mean.is_finite() && self.squares.is_finite()
    }

    /// The moments of the union of both sets of values (Chan, Golub, LeVeque 1979).
    pub(super) fn merge(self, other: Self) -> Self {
        let count = self.count + other.count;
        let distance = other.mean - self.mean;
        let share = other.count / count;
        Self {
            count,
            mean: self.mean + distance * share,
            squares: self.squares + other.squares + distance * distance * self.count * share,
        }
    }

    /// The biased variance (divided by n).
    pub(super) fn variance(&self) -> f64 {
        self.squares / self.count
    }
}

fn piece(values: &[f32]) -> Moments {
    let count = values.len() as f64;
    let centre = (lanes(values, |v| [v])[0] / count) as f32;
    let [first, second] = lanes(values, |v| [v - centre, (v - centre) * (v - centre)]);
    let moments = Moments::around(centre, count, [first, second]);
    if moments.is_finite() { moments } else { wide(values.iter().copied()) }
}

/// Computes the moments in double precision, for values whose sum or squares exceed the range of single precision.
pub(super) fn wide(values: impl Iterator<Item = f32> + Clone) -> Moments {
    let values = values.map(f64::from);
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    Moments { count, mean, squares: values.map(|value| (value - mean).powi(2)).sum() }
}

fn lanes<const N: usize>(values: &[f32], terms: impl Fn(f32) -> [f32; N]) -> [f64; N] {
    let mut sums = [[0.0f32; LANES]; N];
    let (body, rest) = values.as_chunks::<LANES>();
    for chunk in body {
        for lane in 0..LANES {
            let term = terms(chunk[lane]);
            for n in 0..N {
                sums[n][lane] += term[n];
            }
        }
    }
    for (lane, &value) in rest.iter().enumerate() {
        let term = terms(value);
        for n in 0..N {
            sums[n][lane] += term[n];
        }
    }
    sums.map(|lanes| lanes.iter().map(|&sum| f64::from(sum)).sum())
}

/// Sum of the gradient, and sum of the gradient times the distance of the input from its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct GradientSums {
    pub(super) plain: f64,
    pub(super) distance: f64,
}

impl GradientSums {
    pub(super) const NONE: Self = Self { plain: 0.0, distance: 0.0 };

    /// `gate` returns the part of a gradient that the activation passes on at an input.
    pub(super) fn of(gradient: &[f32], input: &[f32], mean: f32, gate: impl Fn(f32, f32) -> f32) -> Self {
        gradient.chunks(PIECE).zip(input.chunks(PIECE)).fold(Self::NONE, |sums, (gradient, input)| {
            let [mut plain, mut distance] = [[0.0f32; LANES]; 2];
            let (gradients, last_gradients) = gradient.as_chunks::<LANES>();
            let (inputs, last_inputs) = input.as_chunks::<LANES>();
            for (gradient, input) in gradients.iter().zip(inputs) {
                for lane in 0..LANES {
                    let g = gate(gradient[lane], input[lane]);
                    plain[lane] += g;
                    distance[lane] += g * (input[lane] - mean);
                }
            }
            for (lane, (&gradient, &input)) in last_gradients.iter().zip(last_inputs).enumerate() {
                let g = gate(gradient, input);
                plain[lane] += g;
                distance[lane] += g * (input - mean);
            }
            let total = |lanes: [f32; LANES]| lanes.iter().map(|&sum| f64::from(sum)).sum::<f64>();
            sums.merge(Self { plain: total(plain), distance: total(distance) })
        })
    }

    pub(super) fn merge(self, other: Self) -> Self {
        Self { plain: self.plain + other.plain, distance: self.distance + other.distance }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_of_a_few_values() {
        // Mean 2.5, squared deviations 2.25 + 0.25 + 0.25 + 2.25.
        let moments = Moments::of(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(moments, Moments { count: 4.0, mean: 2.5, squares: 5.0 });
        assert_eq!(moments.variance(), 1.25);
    }

    #[test]
    fn moments_around_a_centre_that_is_not_the_mean() {
        // The distances of 1, 2, 3, 4 from 1.5 sum to 4, and their squares to 9.
        assert_eq!(Moments::around(1.5, 4.0, [4.0, 9.0]), Moments { count: 4.0, mean: 2.5, squares: 5.0 });
    }

    #[test]
    fn moments_beyond_single_precision() {
        // The sum and the squares overflow f32: mean 1e38, squared deviations (4 + 4 + 16) · 1e76.
        let moments = Moments::of(&[3e38, 3e38, -3e38]);
        assert!((moments.mean / 1e38 - 1.0).abs() < 1e-6);
        assert!((moments.squares / 24e76 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn gradient_sums_by_hand() {
        let sums = GradientSums::of(&[1.0, 2.0], &[5.0, 8.0], 4.0, |g, _| g);
        assert_eq!(sums, GradientSums { plain: 3.0, distance: 1.0 + 8.0 });
        let gated = GradientSums::of(&[1.0, 2.0], &[5.0, 8.0], 4.0, |g, x| if x > 6.0 { g } else { 0.0 });
        assert_eq!(gated, GradientSums { plain: 2.0, distance: 8.0 });
    }

    proptest! {
        #[test]
        fn moments_agree_with_double_precision(
            values in prop::collection::vec(-100.0f32..100.0, 1..5000),
            offset in -1e4f32..1e4,
        ) {
            let values: Vec<f32> = values.iter().map(|v| v + offset).collect();
            let (ours, exact) = (Moments::of(&values), wide(values.iter().copied()));
            // A lane sums at most 64 rounded deviations, each below 200, in single precision.
            let relative = 66.0 * 2f64.powi(-24);
            prop_assert!((ours.mean - exact.mean).abs() <= relative * 200.0);
            // Twice, because a square has twice the relative error; the rest is what the centre's rounding leaves.
            let left = 1e-5 * exact.count;
            prop_assert!((ours.squares - exact.squares).abs() <= 2.0 * relative * exact.squares + left);
        }
    }
}
