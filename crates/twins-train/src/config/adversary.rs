use serde::{Deserialize, Serialize};
use twins_attack::{AttackError, Length, Loss, Norm, Pgd, PgdConfig, Start, ThreatModel};

/// The PGD adversary of a training; its last iterate is what counts.
///
/// Measurements have an [`EvaluationProtocol`](crate::EvaluationProtocol) instead.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `norm` | Linf | the norm that bounds a perturbation | Linf, L2 or L1 |
/// | `epsilon` | 8/255 | the bound, on the [0, 1] scale | ≥ 0, in Linf ≤ 1 |
/// | `steps` | 10 | gradient steps | ≥ 1 |
/// | `step_size` | 2/255 | length of a step in the norm, on the [0, 1] scale | ≥ 0 |
/// | `start` | uniform | where it starts | not clean with the KL loss |
/// | `loss` | cross-entropy | what it maximises | |
///
/// The adversary is the same for every method. TRADES itself maximises the KL divergence, from the clean image plus
/// normal noise: `loss = "kl"` and `start = { gaussian = 0.001 }`. The released code of TWINS maximises the cross-entropy
/// with TRADES too.
///
/// A configuration file gives `epsilon` and `step_size` as a fraction, `"8/255"`, or as a number ([`Length`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdversaryConfig {
    /// The norm that bounds a perturbation.
    pub norm: Norm,
    /// The bound, on the [0, 1] scale.
    #[serde(deserialize_with = "Length::deserialize_into")]
    pub epsilon: f64,
    /// Gradient steps.
    pub steps: usize,
    /// Length of a step in the norm, on the [0, 1] scale.
    #[serde(deserialize_with = "Length::deserialize_into")]
    pub step_size: f64,
    /// Where the adversary starts.
    pub start: Start,
    /// What the adversary maximises.
    pub loss: Loss,
}

impl Default for AdversaryConfig {
    fn default() -> Self {
        Self::new(Norm::Linf, 8.0 / 255.0, 10, 2.0 / 255.0)
    }
}

impl AdversaryConfig {
    /// An adversary that maximises the cross-entropy from a uniform random start.
    pub fn new(norm: Norm, epsilon: f64, steps: usize, step_size: f64) -> Self {
        Self { norm, epsilon, steps, step_size, start: Start::Uniform, loss: Loss::CrossEntropy }
    }

    /// Sets where the adversary starts.
    #[must_use]
    pub fn with_start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Sets what the adversary maximises.
    #[must_use]
    pub fn with_loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// The perturbations that it may make.
    ///
    /// # Errors
    ///
    /// Those of [`ThreatModel::new`]: an epsilon outside the range of the norm.
    pub fn threat_model(&self) -> Result<ThreatModel, AttackError> {
        ThreatModel::new(self.norm, self.epsilon as f32)
    }

    /// The attack.
    ///
    /// # Errors
    ///
    /// Those of [`ThreatModel`] and [`PgdConfig`]: an epsilon outside the range of the norm; a norm that PGD does not
    /// support; no steps; a negative step size; the KL loss from the clean image.
    pub fn build(&self) -> Result<Pgd, AttackError> {
        PgdConfig::new(self.threat_model()?, self.steps, self.step_size as f32)
            .with_start(self.start)
            .with_loss(self.loss)
            .build()
    }
}
