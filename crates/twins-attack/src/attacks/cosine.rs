use std::f64::consts::PI;

/// Cosine annealing from `first` at step 0 to `last` at step `steps`:
/// `last + (first - last) (1 + cos(π step / steps)) / 2`.
pub(super) fn cosine(step: usize, steps: usize, first: f64, last: f64) -> f64 {
    last + (first - last) * (1.0 + (PI * step as f64 / steps as f64).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middle() {
        assert_eq!(cosine(0, 10, 1.0, 0.5), 1.0);
        assert_eq!(cosine(10, 10, 1.0, 0.5), 0.5);
        // cos(π/2) is 6e-17 in double precision.
        assert!((cosine(5, 10, 1.0, 0.5) - 0.75).abs() < 1e-15);
    }
}
