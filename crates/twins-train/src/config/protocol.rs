use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use twins_attack::{AttackError, Length, Loss, Pgd, PgdConfig, Start, ThreatModel};

use super::adversary::AdversaryConfig;

/// The protocol with which robust accuracy is measured: PGD, evaluated on its last iterate.
///
/// A protocol does not depend on how the model was trained. Only the threat model may be that of the training
/// adversary; see [`TrainConfig::validation_protocol`](crate::TrainConfig::validation_protocol).
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | | allowed perturbations | |
/// | `steps` | | gradient steps | ≥ 1 |
/// | `step_size` | epsilon / 4 | length of a step in the norm, on the [0, 1] scale | ≥ 0 |
/// | `loss` | cross-entropy | loss to maximise | |
/// | `start` | clean | starting point | not clean with the KL loss |
/// | `seed` | 0 | seed of random starts, which depend on the image's index | |
///
/// The defaults are those of published evaluations: PGD-10 and PGD-20 on the cross-entropy, from the clean image, with steps
/// of a quarter of epsilon (for instance TWINS, CVPR 2023, section 4).
///
/// The text form of a protocol names every setting that differs from these defaults:
///
/// ```
/// use twins_attack::{Norm, Start, ThreatModel};
/// use twins_train::EvaluationProtocol;
///
/// # fn main() -> Result<(), twins_attack::AttackError> {
/// let protocol = EvaluationProtocol::new(ThreatModel::new(Norm::Linf, 8.0 / 255.0)?, 20);
/// assert_eq!((protocol.attack().as_str(), protocol.to_string().as_str()), ("PGD-20", "PGD-20 Linf 8/255"));
/// let other = protocol.with_step_size(1.0 / 255.0).with_start(Start::Uniform);
/// assert_eq!(other.to_string(), "PGD-20 Linf 8/255, step size 1/255, uniform start");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EvaluationProtocol {
    /// Allowed perturbations.
    pub threat: ThreatModel,
    /// Gradient steps.
    pub steps: usize,
    /// Length of a step in the norm, on the [0, 1] scale.
    #[serde(deserialize_with = "Length::deserialize_into")]
    pub step_size: f64,
    /// The loss to maximise.
    pub loss: Loss,
    /// The starting point.
    pub start: Start,
    /// Seed of random starts.
    pub seed: u64,
}

impl EvaluationProtocol {
    /// Creates a protocol with PGD on the cross-entropy from the clean image, with steps of a quarter of epsilon.
    pub fn new(threat: ThreatModel, steps: usize) -> Self {
        Self {
            threat,
            steps,
            step_size: published_step_size(&threat),
            loss: Loss::CrossEntropy,
            start: Start::Clean,
            seed: 0,
        }
    }

    /// Sets the length of a step.
    #[must_use]
    pub fn with_step_size(mut self, step_size: f64) -> Self {
        self.step_size = step_size;
        self
    }

    /// Sets the loss to maximise.
    #[must_use]
    pub fn with_loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// Sets the starting point.
    #[must_use]
    pub fn with_start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Sets the seed of random starts.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The name of the attack without its threat model, such as `PGD-20`. It is short enough for the heading of a
    /// column.
    pub fn attack(&self) -> String {
        format!("PGD-{}", self.steps)
    }

    /// The attack.
    ///
    /// # Errors
    ///
    /// The errors of [`PgdConfig::build`]: zero steps, a negative step size, the KL loss with the clean image as the
    /// starting point.
    pub fn build(&self) -> Result<Pgd, AttackError> {
        PgdConfig::new(self.threat, self.steps, self.step_size as f32)
            .with_loss(self.loss)
            .with_start(self.start)
            .with_seed(self.seed)
            .build()
    }
}

impl fmt::Display for EvaluationProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.attack(), self.threat)?;
        // The attack computes in single precision.
        if self.step_size as f32 != published_step_size(&self.threat) as f32 {
            write!(f, ", step size {}", Length::new(self.step_size))?;
        }
        match self.loss {
            Loss::CrossEntropy => {}
            Loss::Margin => f.write_str(", margin loss")?,
            Loss::Dlr => f.write_str(", DLR loss")?,
            Loss::ProbabilityMargin => f.write_str(", probability margin")?,
            Loss::Kl => f.write_str(", KL loss")?,
        }
        match self.start {
            Start::Clean => return Ok(()),
            Start::Uniform => f.write_str(", uniform start")?,
            Start::Gaussian(deviation) => write!(f, ", Gaussian start of {}", Length::from(deviation))?,
        }
        // Only a random start depends on the seed.
        match self.seed {
            0 => Ok(()),
            seed => write!(f, ", seed {seed}"),
        }
    }
}

fn given_length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Length::deserialize_into(deserializer).map(Some)
}

fn published_step_size(threat: &ThreatModel) -> f64 {
    Length::from(threat.epsilon()).value() / 4.0
}

/// The settings of an [`EvaluationProtocol`] whose threat model may be that of the training adversary.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | none: that of the training adversary | norm and epsilon | |
/// | `steps` | 10 | gradient steps | ≥ 1 |
/// | `step_size` | none: epsilon / 4 | length of a step in the norm, on the [0, 1] scale | ≥ 0 |
/// | `loss` | cross-entropy | loss to maximise | |
/// | `start` | clean | starting point | not clean with the KL loss |
/// | `seed` | 0 | seed of random starts | |
///
/// Only the norm and epsilon can be taken from the training adversary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ProtocolConfig {
    /// Norm and epsilon; `None` to use those of the training adversary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threat: Option<ThreatModel>,
    /// Gradient steps.
    pub steps: usize,
    /// Length of a step in the norm, on the [0, 1] scale; `None` for a quarter of epsilon.
    #[serde(deserialize_with = "given_length", skip_serializing_if = "Option::is_none")]
    pub step_size: Option<f64>,
    /// The loss to maximise.
    pub loss: Loss,
    /// The starting point.
    pub start: Start,
    /// Seed of random starts.
    pub seed: u64,
}

impl Default for ProtocolConfig {
    fn default() -> Self {
        Self {
            threat: None,
            steps: 10,
            step_size: None,
            loss: Loss::CrossEntropy,
            start: Start::Clean,
            seed: 0,
        }
    }
}

impl ProtocolConfig {
    /// Resolves the protocol for training with the given adversary. If the protocol has no threat model, it takes that
    /// of the adversary.
    ///
    /// # Errors
    ///
    /// [`SettingError::Epsilon`](twins_attack::SettingError::Epsilon) for the adversary's epsilon, and the errors of
    /// [`EvaluationProtocol::build`].
    pub fn resolve(&self, training: &AdversaryConfig) -> Result<EvaluationProtocol, AttackError> {
        let threat = match self.threat {
            Some(threat) => threat,
            None => training.threat_model()?,
        };
        let published = EvaluationProtocol::new(threat, self.steps);
        let protocol = EvaluationProtocol {
            step_size: self.step_size.unwrap_or(published.step_size),
            loss: self.loss,
            start: self.start,
            seed: self.seed,
            ..published
        };
        protocol.build()?;
        Ok(protocol)
    }
}

/// Sets every setting, so that nothing is taken from the training adversary.
impl From<EvaluationProtocol> for ProtocolConfig {
    fn from(protocol: EvaluationProtocol) -> Self {
        let EvaluationProtocol { threat, steps, step_size, loss, start, seed } = protocol;
        Self { threat: Some(threat), steps, step_size: Some(step_size), loss, start, seed }
    }
}

#[cfg(test)]
mod tests {
    use twins_attack::Norm;

    use super::*;

    #[test]
    fn only_the_threat_model_follows_the_training() {
        let training = AdversaryConfig::new(Norm::L2, 0.5, 3, 0.4).with_loss(Loss::Kl);
        let resolved = ProtocolConfig::default().resolve(&training).unwrap();
        let threat = ThreatModel::new(Norm::L2, 0.5).unwrap();
        assert_eq!(resolved, EvaluationProtocol::new(threat, 10));
        assert_eq!(
            (resolved.step_size, resolved.loss, resolved.start),
            (0.125, Loss::CrossEntropy, Start::Clean)
        );

        let threat = ThreatModel::new(Norm::Linf, 8.0 / 255.0).unwrap();
        let given = ProtocolConfig { threat: Some(threat), steps: 20, ..ProtocolConfig::default() };
        assert_eq!(given.resolve(&training).unwrap(), EvaluationProtocol::new(threat, 20));
        assert_eq!(ProtocolConfig::from(given.resolve(&training).unwrap()).threat, Some(threat));
    }

    #[test]
    fn the_text_names_every_setting_that_is_not_the_default() {
        let linf = |epsilon| EvaluationProtocol::new(ThreatModel::new(Norm::Linf, epsilon).unwrap(), 10);
        for epsilon in (1..=32).map(|numerator| numerator as f32 / 255.0) {
            assert!(!linf(epsilon).to_string().contains("step size"), "{}", linf(epsilon));
        }
        let protocol = linf(0.1);
        assert_eq!(protocol.to_string(), "PGD-10 Linf 0.1");
        assert_eq!(protocol.clone().with_loss(Loss::Dlr).to_string(), "PGD-10 Linf 0.1, DLR loss");
        let random = protocol.clone().with_start(Start::Gaussian(0.001)).with_seed(7);
        assert_eq!(random.to_string(), "PGD-10 Linf 0.1, Gaussian start of 0.001, seed 7");
        assert_eq!(protocol.with_seed(7).to_string(), "PGD-10 Linf 0.1", "nothing is drawn");
    }

    #[test]
    fn kl_from_the_clean_image_is_refused() {
        let config = ProtocolConfig { loss: Loss::Kl, ..ProtocolConfig::default() };
        let message = config.resolve(&AdversaryConfig::default()).unwrap_err().to_string();
        assert!(message.contains("Start::Uniform"), "{message}");
    }
}
