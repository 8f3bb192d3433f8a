use std::f64::consts::{FRAC_PI_2, PI};

use serde::{Deserialize, Serialize};

/// The probability that a confidence interval covers the mean.
const CONFIDENCE: f64 = 0.95;

/// Mean and spread of a sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Summary {
    /// The size of the sample.
    pub count: usize,
    /// The arithmetic mean.
    pub mean: f64,
    /// The sample standard deviation, with n − 1 in the denominator; `None` for a single value.
    pub standard_deviation: Option<f64>,
}

/// Paired differences between two arms with the same seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PairedDifference {
    /// Mean and standard deviation of the differences.
    #[serde(flatten)]
    pub summary: Summary,
    /// The 95 % confidence interval of the mean; `None` for a single pair.
    pub interval: Option<[f64; 2]>,
}

impl Summary {
    /// The summary of a sample; `None` without values.
    ///
    /// ```text
    /// mean = Σ xᵢ / n        s = √( Σ (xᵢ − mean)² / (n − 1) )
    /// ```
    ///
    /// ```
    /// use twins_experiment::Summary;
    ///
    /// let summary = Summary::of(&[1.0, 2.0, 3.0]).unwrap();
    /// assert_eq!((summary.mean, summary.standard_deviation), (2.0, Some(1.0)));
    /// assert_eq!(Summary::of(&[5.0]).unwrap().standard_deviation, None);
    /// ```
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let standard_deviation = (count > 1).then(|| (squares / (count - 1) as f64).sqrt());
        Some(Self { count, mean, standard_deviation })
    }
}

impl PairedDifference {
    /// The summary of differences with the interval of their mean; `None` without differences.
    ///
    /// ```text
    /// mean ± t · s / √n
    /// ```
    ///
    /// Where:
    /// - `s` is the sample standard deviation of the n differences,
    /// - `t` is the 0.975 quantile of Student's t distribution with n − 1 degrees of freedom.
    ///
    /// ```
    /// use twins_experiment::PairedDifference;
    ///
    /// // t = 12.706 with one degree of freedom, s = √2 / 10, n = 2.
    /// let difference = PairedDifference::of(&[0.1, 0.3]).unwrap();
    /// let [low, high] = difference.interval.unwrap();
    /// assert!((low - (0.2 - 1.2706)).abs() < 1e-4 && (high - (0.2 + 1.2706)).abs() < 1e-4);
    /// ```
    pub fn of(differences: &[f64]) -> Option<Self> {
        let summary = Summary::of(differences)?;
        let interval = summary.standard_deviation.map(|deviation| {
            let half = student_t(summary.count - 1) * deviation / (summary.count as f64).sqrt();
            [summary.mean - half, summary.mean + half]
        });
        Some(Self { summary, interval })
    }
}

/// The t with P(|T| ≤ t) = 0.95 for Student's t distribution.
///
/// `statrs` finds quantiles by an iteration without a limit of steps. For whole degrees of freedom the series is finite, and the bisection
/// always ends.
fn student_t(degrees: usize) -> f64 {
    // P grows with the angle atan(t / √ν), which is bounded.
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    // Bisection until there is no floating-point number in between.
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle.tan() * (degrees as f64).sqrt();
        }
        match central_probability(middle, degrees) < CONFIDENCE {
            true => low = middle,
            false => high = middle,
        }
    }
}

/// P(|T| ≤ √ν tan θ) for ν degrees of freedom: the finite series of Abramowitz and Stegun, Handbook of Mathematical Functions,
/// 26.7.3 and 26.7.4.
fn central_probability(angle: f64, degrees: usize) -> f64 {
    let (sine, cosine) = angle.sin_cos();
    let odd = degrees % 2 == 1;
    // Terms cos^k θ with k = 0, 2, 4 … for even ν and 1, 3, 5 … for odd ν, up to ν − 2.
    let (mut term, mut power) = if odd { (cosine, 1) } else { (1.0, 0) };
    let mut sum = 0.0;
    while power + 2 <= degrees {
        sum += term;
        // The factors are 2/3, 4/5 … for odd ν and 1/2, 3/4 … for even ν.
        term *= cosine * cosine * (power + 1) as f64 / (power + 2) as f64;
        power += 2;
    }
    if odd { 2.0 / PI * (angle + sine * sum) } else { sine * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Abramowitz and Stegun, table 26.10, and R's `qt(0.975, df)` for the last two.
    #[test]
    fn quantiles_are_those_of_the_table() {
        for (degrees, expected) in [
            (1, 12.706),
            (2, 4.303),
            (3, 3.182),
            (4, 2.776),
            (5, 2.571),
            (9, 2.262),
            (10, 2.228),
            (29, 2.045),
            (30, 2.042),
            (120, 1.980),
            (1000, 1.962),
            (100_000, 1.960),
        ] {
            let t = student_t(degrees);
            // The tables have three decimals.
            assert!((t - expected).abs() <= 0.0005, "{degrees}: {t}");
        }
    }

    #[test]
    fn one_degree_of_freedom_is_cauchy() {
        // Its quantile is tan(π (p − 1/2)). Both sides are computed in double precision, and the tangent multiplies the error of
        // its argument by 1 + t² = 162.
        let exact = (PI * 0.475).tan();
        assert!((student_t(1) - exact).abs() < 1e-11, "{}", student_t(1));
        // Two degrees: t = (2p − 1) √(2 / (1 − (2p − 1)²)).
        let exact = 0.95 * (2.0f64 / (1.0 - 0.95 * 0.95)).sqrt();
        assert!((student_t(2) - exact).abs() < 1e-12, "{}", student_t(2));
    }

    #[test]
    fn a_sample_by_hand() {
        // Mean 5, squared distances 9 + 1 + 1 + 1 + 0 + 0 + 4 + 16 = 32.
        let summary = Summary::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!((summary.count, summary.mean), (8, 5.0));
        assert_eq!(summary.standard_deviation, Some((32.0f64 / 7.0).sqrt()));
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[3.5]), Some(Summary { count: 1, mean: 3.5, standard_deviation: None }));
    }

    #[test]
    fn an_interval_by_hand() {
        // Mean 0.02, s = 0.01, n = 3: half the width is 4.303 · 0.01 / √3 = 0.02484.
        let difference = PairedDifference::of(&[0.01, 0.02, 0.03]).unwrap();
        let [low, high] = difference.interval.unwrap();
        assert!((low + 0.00484).abs() < 1e-5 && (high - 0.04484).abs() < 1e-5, "{low} {high}");
        let same = PairedDifference::of(&[0.5, 0.5]).unwrap();
        assert_eq!(same.interval, Some([0.5, 0.5]), "equal differences have an interval without width");
        assert_eq!(PairedDifference::of(&[0.5]).unwrap().interval, None);
        assert_eq!(PairedDifference::of(&[]), None);
    }
}
