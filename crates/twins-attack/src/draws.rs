use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The random numbers of one run of one attack on one sample.
///
/// The generator is keyed by (seed, sample, attack, run). The draws of a sample therefore depend neither on the device,
/// nor on the batch size, nor on the other samples under attack.
#[derive(Debug, Clone)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// Starts the random stream of one run. `sample` is the sample's number in its data set, `attack` is the attack's
    /// name, and `run` counts the restarts and targets.
    ///
    /// ```
    /// use twins_attack::Draws;
    /// let first = Draws::new(0, 7, "pgd", 0).uniform();
    /// assert_eq!(first, Draws::new(0, 7, "pgd", 0).uniform());
    /// assert_ne!(first, Draws::new(0, 8, "pgd", 0).uniform());
    /// ```
    pub fn new(seed: u64, sample: u64, attack: &str, run: u64) -> Self {
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([seed, sample, fnv1a(attack.as_bytes()), run]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Draws a uniform number in [0, 1).
    pub fn uniform(&mut self) -> f32 {
        // 24 bits: every value is exact in f32.
        (self.0.next_u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Draws a uniform number in [-1, 1).
    pub fn symmetric(&mut self) -> f32 {
        2.0 * self.uniform() - 1.0
    }

    /// Draws a standard normal number (Box–Muller).
    pub fn gaussian(&mut self) -> f32 {
        // 1 - u lies in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * f64::from(1.0 - self.uniform()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(self.uniform())).cos()) as f32
    }

    /// Draws a standard exponential number.
    pub fn exponential(&mut self) -> f32 {
        -(1.0 - self.uniform()).ln()
    }

    /// Draws +1 or -1 with equal probability.
    pub fn sign(&mut self) -> f32 {
        if self.0.next_u32() & 1 == 0 { -1.0 } else { 1.0 }
    }

    /// Draws one of 0, 1, ..., `bound - 1`.
    ///
    /// # Panics
    /// Panics if `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "no number lies below 0");
        // The bias of the multiplication is below bound / 2^32.
        ((u64::from(self.0.next_u32()) * bound as u64) >> 32) as usize
    }
}

/// The 64-bit FNV-1a hash, which is the same in every release, unlike the standard library's hasher.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_key_matters() {
        let first = |seed, sample, attack, run| Draws::new(seed, sample, attack, run).uniform();
        let base = first(1, 2, "apgd-ce", 3);
        for other in [
            first(2, 2, "apgd-ce", 3),
            first(1, 3, "apgd-ce", 3),
            first(1, 2, "square", 3),
            first(1, 2, "apgd-ce", 4),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut draws = Draws::new(0, 0, "test", 0);
        let n = 20_000;
        let mean = |values: Vec<f32>| values.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
        // Five standard errors of the mean at n = 20 000.
        let tolerance = 5.0 / f64::from(n).sqrt();
        assert!((mean((0..n).map(|_| draws.uniform()).collect()) - 0.5).abs() < tolerance);
        assert!(mean((0..n).map(|_| draws.symmetric()).collect()).abs() < tolerance);
        assert!(mean((0..n).map(|_| draws.gaussian()).collect()).abs() < tolerance);
        assert!((mean((0..n).map(|_| draws.gaussian().powi(2)).collect()) - 1.0).abs() < 1.5 * tolerance);
        assert!((mean((0..n).map(|_| draws.exponential()).collect()) - 1.0).abs() < tolerance);
        assert!((mean((0..n).map(|_| draws.below(3) as f32).collect()) - 1.0).abs() < tolerance);
    }

    #[test]
    fn hash_is_the_published_one() {
        // Test vector of the FNV authors.
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
