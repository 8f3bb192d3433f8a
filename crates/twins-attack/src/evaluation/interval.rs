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
