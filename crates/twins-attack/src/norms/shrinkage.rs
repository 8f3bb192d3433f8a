//! The common amount by which a projection onto an L1 ball shrinks all magnitudes.

/// A magnitude to be shrunk. At most `room` of it is used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Magnitude {
    pub(crate) length: f64,
    /// Infinite without a box.
    pub(crate) room: f64,
}

impl Magnitude {
    /// The remainder after shrinking by `alpha`.
    fn shrunk(self, alpha: f64) -> f64 {
        (self.length - alpha).max(0.0).min(self.room)
    }

    /// The amount up to which shrinking changes nothing, because the magnitude is limited by the room.
    fn slack(self) -> f64 {
        (self.length - self.room).max(0.0)
    }
}

/// The number of magnitudes that are sampled for a pivot. Their median leaves about half of all magnitudes on each
/// side.
const SAMPLED: usize = 31;

/// Finds the `α ≥ 0` that solves `Σ min(room_i, max(0, length_i - α)) = total`, provided that the left side is larger
/// at `α = 0`.
///
/// The left side is a decreasing, piecewise linear function of `α` with kinks at `length_i - room_i` and `length_i`.
/// Each round evaluates it at a kink, which shows on which side of the kink the solution lies. Magnitudes without a
/// kink on that side are dropped: there, they are zero, constant or of slope -1. The kink is the median of a small
/// sample, so the number of magnitudes halves from round to round and the expected time is linear in it (Duchi et al.
/// 2008, "Efficient projections onto the l1-ball for learning in high dimensions", Fig. 2, without a box).
pub(crate) fn shrinkage(mut undecided: Vec<Magnitude>, total: f64) -> f64 {
    // The solution lies between these bounds, and so do all relevant kinks of the undecided magnitudes.
    let (mut lower, mut upper) = (0.0_f64, f64::INFINITY);
    // The sum of the constant magnitudes, and the number and the sum of lengths of those that fall with slope -1.
    let (mut constant, mut falling, mut falling_lengths) = (0.0, 0.0, 0.0);
    // Every undecided magnitude must have a kink between the bounds. Otherwise, a sample could miss all kinks.
    undecided.retain(|magnitude| {
        if magnitude.length == f64::INFINITY {
            constant += magnitude.room;
        }
        magnitude.length > 0.0 && magnitude.length.is_finite()
    });
    let mut state = 0;
    while let Some(pivot) = pivot(&undecided, lower, upper, &mut state) {
        let open: f64 = undecided.iter().map(|magnitude| magnitude.shrunk(pivot)).sum();
        if constant + (falling_lengths - falling * pivot) + open <= total {
            upper = pivot;
        } else {
            lower = pivot;
        }
        undecided.retain(|&magnitude| {
            if magnitude.length <= lower {
                return false;
            }
            if magnitude.slack() >= upper {
                constant += magnitude.length.min(magnitude.room);
                return false;
            }
            let falls = magnitude.slack() <= lower && magnitude.length >= upper;
            if falls {
                falling += 1.0;
                falling_lengths += magnitude.length;
            }
            !falls
        });
    }
    if falling > 0.0 {
        ((constant + falling_lengths - total) / falling).clamp(lower, upper)
    } else {
        // The slope is lost in rounding. The upper bound is inside the ball.
        upper
    }
}

/// The median of a few random kinks strictly between the bounds; `None` if there are none.
fn pivot(undecided: &[Magnitude], lower: f64, upper: f64, state: &mut u64) -> Option<f64> {
    let inside = |magnitude: Magnitude| {
        [magnitude.slack(), magnitude.length].into_iter().filter(move |&kink| kink > lower && kink < upper)
    };
    let mut kinks = [0.0; 2 * SAMPLED];
    let mut count = 0;
    for draw in 0..SAMPLED.min(undecided.len()) {
        let place = if undecided.len() <= SAMPLED { draw } else { below(undecided.len(), state) };
        for kink in inside(undecided[place]) {
            kinks[count] = kink;
            count += 1;
        }
    }
    let kinks = &mut kinks[..count];
    (!kinks.is_empty()).then(|| *kinks.select_nth_unstable_by(count / 2, f64::total_cmp).1)
}

/// A pseudo-random number below `count`, from Knuth's linear congruential generator (MMIX). The choice of pivots
/// affects only the time.
fn below(count: usize, state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (((*state >> 32) * count as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;
    use crate::draws::Draws;

    fn magnitudes(pairs: &[(f64, f64)]) -> Vec<Magnitude> {
        pairs.iter().map(|&(length, room)| Magnitude { length, room }).collect()
    }

    fn sum(magnitudes: &[Magnitude], alpha: f64) -> f64 {
        magnitudes.iter().map(|magnitude| magnitude.shrunk(alpha)).sum()
    }

    /// The same by following the sum from kink to sorted kink.
    fn by_sorting(magnitudes: &[Magnitude], total: f64) -> f64 {
        let falls = magnitudes.iter().flat_map(|m| [(m.slack(), 1.0), (m.length, -1.0)]);
        let mut kinks: Vec<(f64, f64)> = falls.collect();
        kinks.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let (mut alpha, mut left, mut falling) = (0.0, sum(magnitudes, 0.0), 0.0);
        for (kink, change) in kinks {
            let next = left - falling * (kink - alpha);
            if next <= total {
                break;
            }
            (alpha, left, falling) = (kink, next, falling + change);
        }
        if falling > 0.0 { alpha + (left - total) / falling } else { alpha }
    }

    #[test]
    fn hand_computed_amounts() {
        // (3 - α) + (4 - α) = 5, and 4 - α = 0.5 with the other gone.
        let without_box = magnitudes(&[(3.0, f64::INFINITY), (4.0, f64::INFINITY)]);
        assert_eq!(shrinkage(without_box.clone(), 5.0), 1.0);
        assert_eq!(shrinkage(without_box.clone(), 0.5), 3.5);
        assert_eq!(shrinkage(without_box, 0.0), 4.0);
        // The first is at its wall until α = 2: 1 + (2 - α) = 2.
        assert_eq!(shrinkage(magnitudes(&[(3.0, 1.0), (2.0, 2.0)]), 2.0), 1.0);
        // At its wall until α = 2: 3 - α = 0.5.
        assert_eq!(shrinkage(magnitudes(&[(3.0, 1.0)]), 0.5), 2.5);
        // All kinks coincide: 50 (2 - α) = 25.
        assert_eq!(shrinkage(magnitudes(&[(2.0, 2.0); 50]), 25.0), 1.5);
    }

    #[test]
    fn extreme_magnitudes_end_the_search() {
        // The first stays at its wall whatever happens to the second: 0.5 + (0.75 - α) = 1.
        assert_eq!(shrinkage(magnitudes(&[(1e30, 0.5), (0.75, 1.0)]), 1.0), 0.25);
        assert_eq!(shrinkage(magnitudes(&[(f64::INFINITY, 0.5), (0.75, 1.0)]), 1.0), 0.25);
        assert_eq!(shrinkage(magnitudes(&[(f64::INFINITY, 0.5)]), 0.25), f64::INFINITY);
        assert_eq!(shrinkage(magnitudes(&[(f64::NAN, 0.5), (0.75, 1.0)]), 0.5), 0.25);
        // No room between them for a slope.
        assert_eq!(shrinkage(magnitudes(&[(1e30, 0.5)]), 0.25), 1e30);
    }

    #[test]
    fn a_few_kinks_among_many_magnitudes_are_found() {
        // (3 - α) + (4 - α) = 5.
        let mut zeros = magnitudes(&[(0.0, 1.0); 10_000]);
        zeros.insert(0, Magnitude { length: 3.0, room: f64::INFINITY });
        zeros.push(Magnitude { length: 4.0, room: f64::INFINITY });
        assert_eq!(shrinkage(zeros, 5.0), 1.0);
        // 10 000 · 0.5 + (0.75 - α) = 5000.5.
        let mut infinite = magnitudes(&[(f64::INFINITY, 0.5); 10_000]);
        infinite.push(Magnitude { length: 0.75, room: 1.0 });
        assert_eq!(shrinkage(infinite, 5000.5), 0.25);
    }

    proptest! {
        /// Coarse values, so that kinks coincide.
        #[test]
        fn selection_finds_what_sorting_does(
            pairs in prop::collection::vec((0u8..40, prop::option::weighted(0.9, 0u8..20)), 1..300),
            part in 0.0f64..1.0,
            scale in prop::sample::select(vec![1.0, 0.1, 1.0 / 255.0]),
        ) {
            let of = |(length, room): (u8, Option<u8>)| Magnitude {
                length: f64::from(length) * scale,
                room: room.map_or(f64::INFINITY, |room| f64::from(room) * scale),
            };
            let magnitudes: Vec<Magnitude> = pairs.into_iter().map(of).collect();
            let whole = sum(&magnitudes, 0.0);
            prop_assume!(whole > 0.0);
            let total = part * whole;
            let found = shrinkage(magnitudes.clone(), total);
            // Up to 300 additions of values below 40 in f64, in another order: 300 · 40 · 300 · 2⁻⁵³ = 4e-10. The sum is
            // compared because it is flat where several amounts solve the equation.
            prop_assert!((sum(&magnitudes, found) - total).abs() < 1e-9, "{found}");
            let reference = by_sorting(&magnitudes, total);
            prop_assert!((sum(&magnitudes, found) - sum(&magnitudes, reference)).abs() < 1e-9, "{found} {reference}");
        }

        #[test]
        fn selection_finds_what_sorting_does_on_rows_of_noise(seed in 0u64..1000, part in 0.001f64..0.999) {
            let magnitudes = noise(3072, seed);
            let total = part * sum(&magnitudes, 0.0);
            let (found, reference) = (shrinkage(magnitudes.clone(), total), by_sorting(&magnitudes, total));
            // Sums of 3 072 values below 1 in f64, divided by the number of those that fall.
            prop_assert!((found - reference).abs() < 1e-9, "{found} {reference}");
        }
    }

    /// Deviations and rooms of a row of an image.
    fn noise(values: usize, seed: u64) -> Vec<Magnitude> {
        let mut draws = Draws::new(seed, 0, "shrinkage", 0);
        (0..values)
            .map(|_| Magnitude { length: f64::from(draws.uniform()), room: f64::from(draws.uniform()) })
            .collect()
    }

    /// `cargo test --release -p twins-attack --lib -- --ignored --nocapture time_of_selection`
    #[test]
    #[ignore = "a measurement"]
    fn time_of_selection_and_of_sorting() {
        let median = |mut times: Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2]
        };
        for values in [3072, 150_528] {
            let magnitudes = noise(values, 0);
            let total = 0.1 * sum(&magnitudes, 0.0);
            let [mut selection, mut sorting] = [Vec::new(), Vec::new()];
            for _ in 0..(20_000_000 / values).min(501) {
                let copy = magnitudes.clone();
                let start = Instant::now();
                let found = shrinkage(copy, total);
                selection.push(start.elapsed());
                let start = Instant::now();
                let reference = by_sorting(&magnitudes, total);
                sorting.push(start.elapsed());
                assert!((found - reference).abs() < 1e-9);
            }
            let [selection, sorting] = [selection, sorting].map(median);
            let ratio = sorting.as_secs_f64() / selection.as_secs_f64();
            println!("{values} values: {selection:?} by selection, {sorting:?} by sorting, ratio {ratio:.1}");
        }
    }
}
