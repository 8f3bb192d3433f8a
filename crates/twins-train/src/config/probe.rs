use serde::{Deserialize, Serialize};

use crate::optimisers::Schedule;

/// The probe of [`Tuning::ProbeThenFull`](crate::Tuning::ProbeThenFull): the head alone, trained with plain cross-entropy
/// on adversarial examples ([`At`](crate::At)), whatever the method is.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `probe_epochs` | required | epochs of the probe, of those of the training | ≥ 1 |
/// | `probe_learning_rate` | the training's `learning_rate` | of SGD, before the probe's schedule | > 0 |
/// | `probe_schedule` | constant | of the probe's learning rate, over the probe's epochs | [`Schedule`] |
///
/// No learning rate suits the features of every model, and the source names a single one for its recipe; so the probe
/// has the configured rate unless it is given its own. Momentum, weight decay, gradient clipping, augmentation and
/// the adversary are those of the training.
///
/// ```
/// use twins_train::{Method, ProbeConfig, TrainConfig, Tuning};
///
/// # fn main() -> Result<(), twins_train::TrainError> {
/// let probe = ProbeConfig::new(5).with_learning_rate(0.1);
/// TrainConfig::new(Method::TwinsAt).with_tuning(Tuning::ProbeThenFull(probe)).validate()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeConfig {
    /// Epochs of the probe; the full phase has the others.
    #[serde(rename = "probe_epochs")]
    pub epochs: usize,
    /// Learning rate of the probe; `None`: that of the training.
    #[serde(rename = "probe_learning_rate", default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// How the probe's learning rate changes.
    #[serde(rename = "probe_schedule", default = "constant")]
    pub schedule: Schedule,
}

fn constant() -> Schedule {
    Schedule::Constant
}

impl ProbeConfig {
    /// A probe of so many epochs, at the training's learning rate throughout.
    pub fn new(epochs: usize) -> Self {
        Self { epochs, learning_rate: None, schedule: constant() }
    }

    /// Sets the learning rate.
    #[must_use]
    pub fn with_learning_rate(mut self, learning_rate: f64) -> Self {
        self.learning_rate = Some(learning_rate);
        self
    }

    /// Sets the schedule.
    #[must_use]
    pub fn with_schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }
}
