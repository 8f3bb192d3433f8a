use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AutoAttackConfig, Warning};
use crate::engine::verification::{Verification, VerificationRule};

/// How many samples were classified correctly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Correct ones.
    pub correct: usize,
    /// All.
    pub total: usize,
}

impl Count {
    /// The share in [0, 1].
    pub fn share(self) -> f64 {
        self.correct as f64 / self.total as f64
    }
}

/// One attack of the sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// Name of the attack.
    pub attack: String,
    /// Samples still right after it.
    pub robust: usize,
    /// Time it took.
    pub seconds: f64,
    /// Images run through the model.
    pub forwards: u64,
    /// For how many of them a gradient was computed.
    pub backwards: u64,
    /// What came of checking the adversarial examples that the attack claimed.
    pub verification: Verification,
}

/// One sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRecord {
    /// Number of the sample in its data set.
    pub index: u64,
    /// The right class.
    pub label: usize,
    /// The class seen in the clean image.
    pub clean_prediction: usize,
    /// The attack that broke it, `clean` if it was wrong without one, none if it withstood.
    pub broken_by: Option<String>,
    /// Norm of the perturbation that broke it.
    pub distance: Option<f32>,
}

/// The result of an evaluation, ready to be saved; its `Display` is a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Clean accuracy.
    pub clean: Count,
    /// The attacks in their order.
    pub stages: Vec<StageReport>,
    /// Robust accuracy: samples right on the clean image and after every attack.
    pub robust: Count,
    /// 95 % confidence interval of the robust accuracy (Wilson 1927), in [0, 1].
    pub interval: [f64; 2],
    /// The settings.
    pub config: AutoAttackConfig,
    /// When a claimed adversarial example counted.
    pub verification: VerificationRule,
    /// Reasons to read the figures with care.
    pub warnings: Vec<Warning>,
    /// All images run through the model, with the clean pass and the checks.
    pub forwards: u64,
    /// For how many of them a gradient was computed.
    pub backwards: u64,
    /// The samples in their order.
    pub samples: Vec<SampleRecord>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        writeln!(f, "AutoAttack {}, {}, seed {}", config.version, config.threat, config.seed)?;
        writeln!(
            f,
            "{:<14} {:>9} {:>9} {:>11} {:>11} {:>9}",
            "after", "robust", "%", "forwards", "gradients", "seconds"
        )?;
        let total = self.clean.total;
        writeln!(f, "{:<14} {:>9} {:>9.2}", "clean", self.clean.correct, 100.0 * self.clean.share())?;
        for stage in &self.stages {
            let share = Count { correct: stage.robust, total }.share();
            writeln!(
                f,
                "{:<14} {:>9} {:>9.2} {:>11} {:>11} {:>9.1}",
                stage.attack,
                stage.robust,
                100.0 * share,
                stage.forwards,
                stage.backwards,
                stage.seconds
            )?;
        }
        let [low, high] = self.interval.map(|bound| 100.0 * bound);
        write!(
            f,
            "robust accuracy {:.2} % of {total} samples, 95 % interval {low:.2} to {high:.2} %",
            100.0 * self.robust.share()
        )?;
        let claimed: u64 = self.stages.iter().map(|stage| stage.verification.claimed).sum();
        write!(
            f,
            "\n{claimed} claimed adversarial examples checked: in the box, in the ball, {}",
            self.verification
        )?;
        for stage in self.stages.iter().filter(|stage| stage.verification.refuted() > 0) {
            write!(f, "\n{}: {}", stage.attack, stage.verification)?;
        }
        for warning in &self.warnings {
            write!(f, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}

/// The 95 % score interval of a binomial share (Wilson 1927): with `z = 1.96` and the share `p` of `n`,
/// `(p + z²/2n ± z √(p (1 - p) / n + z²/4n²)) / (1 + z²/n)`.
///
/// ```
/// let [low, high] = twins_attack::wilson_interval(855, 1000);
/// assert!((low - 0.8318).abs() < 1e-4 && (high - 0.8755).abs() < 1e-4);
/// ```
pub fn wilson_interval(correct: usize, total: usize) -> [f64; 2] {
    let z = 1.959_963_984_540_054_f64;
    let (n, p) = (total as f64, correct as f64 / total as f64);
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    [middle - half, middle + half].map(|bound| (bound / (1.0 + z * z / n)).clamp(0.0, 1.0))
}
