use serde::{Deserialize, Serialize};
use twins_attack::{AttackError, Length, Loss, Norm, Pgd, PgdConfig, Start, ThreatModel};

/// The PGD adversary of training. The adversarial examples are the attack's last iterates.
///
/// Robust accuracy is measured with an [`EvaluationProtocol`](crate::EvaluationProtocol) instead.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `norm` | Linf | norm that bounds the perturbation | Linf, L2 or L1 |
/// | `epsilon` | 8/255 | largest norm of the perturbation, on the [0, 1] scale | ≥ 0, in Linf ≤ 1 |
/// | `steps` | 10 | gradient steps | ≥ 1 |
/// | `step_size` | 2/255 | length of a step in the norm, on the [0, 1] scale | ≥ 0 |
/// | `start` | uniform | starting point | not clean with the KL loss |
/// | `loss` | cross-entropy | loss to maximise | |
///
/// Every method uses the same adversary. The original TRADES maximises the KL divergence, starting from the clean image
/// plus Gaussian noise; set `loss = "kl"` and `start = { gaussian = 0.001 }` for that. The released code of TWINS
/// maximises the cross-entropy with TRADES, too.
///
/// In a configuration file, `epsilon` and `step_size` are either fractions such as `"8/255"` or numbers ([`Length`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AdversaryConfig {
    /// The norm that bounds the perturbation.
    pub norm: Norm,
    /// The largest norm of the perturbation, on the [0, 1] scale.
    #[serde(deserialize_with = "Length::deserialize_into")]
    pub epsilon: f64,
    /// The number of gradient steps.
    pub steps: usize,
    /// Length of a step in the norm, on the [0, 1] scale.
    #[serde(deserialize_with = "Length::deserialize_into")]
    pub step_size: f64,
    /// The starting point.
    pub start: Start,
    /// The loss that the adversary maximises.
    pub loss: Loss,
}

impl Default for AdversaryConfig {
    fn default() -> Self {
        Self::new(Norm::Linf, 8.0 / 255.0, 10, 2.0 / 255.0)
    }
}

impl AdversaryConfig {
    /// Creates an adversary that maximises the cross-entropy from a uniform random start.
    pub fn new(norm: Norm, epsilon: f64, steps: usize, step_size: f64) -> Self {
        Self { norm, epsilon, steps, step_size, start: Start::Uniform, loss: Loss::CrossEntropy }
    }

    /// Sets the starting point.
    #[must_use]
    pub fn with_start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Sets the loss that the adversary maximises.
    #[must_use]
    pub fn with_loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// Sets the step size that has the same ratio to epsilon as that of another adversary.
    ///
    /// The step size of a configuration that gives only epsilon follows from it in this way.
    ///
    /// ```
    /// use twins_train::AdversaryConfig;
    ///
    /// let usual = AdversaryConfig::default();
    /// let weaker = AdversaryConfig { epsilon: 4.0 / 255.0, ..usual.clone() }.with_step_size_in_proportion_to(&usual);
    /// assert_eq!(weaker.step_size, 1.0 / 255.0);
    /// ```
    #[must_use]
    pub fn with_step_size_in_proportion_to(mut self, other: &Self) -> Self {
        self.step_size = self.epsilon * (other.step_size / other.epsilon);
        self
    }

    /// The threat model: the norm and its bound.
    ///
    /// # Errors
    ///
    /// The errors of [`ThreatModel::new`]: an epsilon outside the range of the norm.
    pub fn threat_model(&self) -> Result<ThreatModel, AttackError> {
        ThreatModel::new(self.norm, self.epsilon as f32)
    }

    /// Builds the attack.
    ///
    /// # Errors
    ///
    /// The errors of [`ThreatModel`] and [`PgdConfig`]: an epsilon outside the range of the norm; a norm that PGD does
    /// not support; zero steps; a negative step size; the KL loss with the clean image as the starting point.
    pub fn build(&self) -> Result<Pgd, AttackError> {
        PgdConfig::new(self.threat_model()?, self.steps, self.step_size as f32)
            .with_start(self.start)
            .with_loss(self.loss)
            .build()
    }
}
