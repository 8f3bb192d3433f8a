/// Computes the 95 % score interval of a binomial fraction (Wilson 1927). With `z = 1.96` and `p = correct / n` for
/// `n = total`, it is `(p + z²/2n ± z √(p (1 - p) / n + z²/4n²)) / (1 + z²/n)`. Without samples, it is [0, 1].
///
/// ```
/// use twins_attack::wilson_interval;
/// let [low, high] = wilson_interval(855, 1000);
/// assert!((low - 0.8318).abs() < 1e-4 && (high - 0.8755).abs() < 1e-4);
/// assert_eq!(wilson_interval(0, 0), [0.0, 1.0]);
/// ```
pub fn wilson_interval(correct: usize, total: usize) -> [f64; 2] {
    if total == 0 {
        return [0.0, 1.0];
    }
    let z = 1.959_963_984_540_054_f64;
    let (n, p) = (total as f64, correct as f64 / total as f64);
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    [middle - half, middle + half].map(|bound| (bound / (1.0 + z * z / n)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), table I, method 3.
    #[test]
    fn intervals_are_those_of_the_literature() {
        for (correct, total, expected) in [
            (81, 263, [0.2553, 0.3662]),
            (15, 148, [0.0624, 0.1605]),
            (0, 20, [0.0, 0.1611]),
            (1, 29, [0.0061, 0.1718]),
        ] {
            let [low, high] = wilson_interval(correct, total);
            // The table has four decimals.
            assert!((low - expected[0]).abs() <= 5e-5 && (high - expected[1]).abs() <= 5e-5, "{low} {high}");
        }
    }

    #[test]
    fn the_interval_of_errors_is_the_mirror_image() {
        for correct in [0, 3, 7] {
            let ([low, high], mirrored) = (wilson_interval(correct, 7), wilson_interval(7 - correct, 7));
            // Roundings of a few operations in double precision on values up to 1.
            assert!((low - (1.0 - mirrored[1])).abs() < 1e-14, "{low} {mirrored:?}");
            assert!((high - (1.0 - mirrored[0])).abs() < 1e-14, "{high} {mirrored:?}");
        }
    }
}
