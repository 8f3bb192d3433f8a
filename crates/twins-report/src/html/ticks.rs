/// The scale of an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Equal differences have equal distances.
    #[default]
    Linear,
    /// Equal ratios have equal distances. Values that are not positive cannot be shown.
    Logarithmic,
}

/// Returns at most about `count` round values in a range: multiples of 1, 2 or 5 times a power of ten.
pub(crate) fn linear_ticks([low, high]: [f64; 2], count: usize) -> Vec<f64> {
    let rough = (high - low) / count as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= rough * (1.0 - 1e-9));
    let step = step.unwrap_or(10.0 * power);
    // The slack prevents rounding from dropping a tick at an end of the range.
    let slack = 1e-9;
    let first = (low / step - slack).ceil();
    let last = (high / step + slack).floor();
    // Between numbers so small or so large that their difference or the step is 0 or infinite, there is nothing to count.
    if !step.is_finite() || !(0.0..=MOST_TICKS).contains(&(last - first)) {
        return [low, high].into_iter().filter(|tick| tick.is_finite()).collect();
    }
    (0..=(last - first) as usize).map(|index| (first + index as f64) * step).collect()
}

/// More ticks than any axis of finite length has.
const MOST_TICKS: f64 = 100.0;

/// Returns round values in a range that is given by the logarithms (base 10) of its ends. These are powers of ten. If fewer
/// than three of them are in the range, they are powers of ten times 1, 2 and 5, or else linear ticks.
pub(crate) fn logarithmic_ticks(exponents: [f64; 2], count: usize) -> Vec<f64> {
    let [low, high] = exponents.map(|exponent| 10f64.powf(exponent));
    let decades = exponents[0].floor() as i32..=exponents[1].ceil() as i32;
    let multiples = |factors: &[f64]| -> Vec<f64> {
        let ticks = decades
            .clone()
            .flat_map(|decade| factors.iter().map(move |factor| factor * 10f64.powi(decade)))
            // Powers outside the range of floats become 0 or infinity, which are not on the axis.
            .filter(|tick| (low..=high).contains(tick) && *tick > 0.0 && tick.is_finite());
        ticks.collect()
    };
    let powers = multiples(&[1.0]);
    if powers.len() > count {
        return powers.iter().copied().step_by(powers.len().div_ceil(count)).collect();
    }
    let candidates = [powers, multiples(&[1.0, 2.0, 5.0]), linear_ticks([low, high], count)];
    candidates.into_iter().find(|ticks| ticks.len() >= 3).unwrap_or_else(|| vec![low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f64], expected: &[f64]) -> bool {
        // Multiples of a step such as 0.2 are off by a rounding.
        found.len() == expected.len()
            && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9 * (1.0 + b.abs()))
    }

    #[test]
    fn linear_ticks_are_round() {
        for (range, ticks) in [
            ([0.0, 100.0], vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0]),
            ([-0.1, 1.1], vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            ([0.97, 3.03], vec![1.0, 1.5, 2.0, 2.5, 3.0]),
        ] {
            let found = linear_ticks(range, 6);
            assert!(close(&found, &ticks), "{found:?}");
        }
    }

    #[test]
    fn logarithmic_ticks_are_powers_where_there_are_enough() {
        for (range, ticks) in [
            ([0.5e-4, 2.0], vec![1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
            ([0.9, 6.0], vec![1.0, 2.0, 5.0]),
            ([3.0, 4.0], vec![3.0, 3.2, 3.4, 3.6, 3.8, 4.0]),
        ] {
            let found = logarithmic_ticks(range.map(f64::log10), 6);
            assert!(close(&found, &ticks), "{found:?}");
        }
        for range in
            [[-5e-324, 5e-324], [0.0, 5e-324], [-1e308, 1e308], [1e308, f64::INFINITY], [-1e308, 1.7e308]]
        {
            let found = linear_ticks(range, 6);
            assert!(found.len() <= 100 && found.iter().all(|tick| tick.is_finite()), "{range:?}: {found:?}");
        }
        let found = logarithmic_ticks([-330.0, 330.0], 6);
        assert!(found.len() <= 7 && found.iter().all(|tick| *tick > 0.0 && tick.is_finite()), "{found:?}");
    }
}
