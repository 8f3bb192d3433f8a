use serde::{Deserialize, Serialize};

use crate::optimisers::Schedule;

/// The probe of [`Tuning::ProbeThenFull`](crate::Tuning::ProbeThenFull): only the head is trained, with plain
/// cross-entropy on adversarial examples ([`At`](crate::At)), independently of the method.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `probe_epochs` | required | epochs of the probe, part of the training's `epochs`; from that number on, only the head is trained | ≥ 1 |
/// | `probe_learning_rate` | the training's `learning_rate` | learning rate of the probe, before its schedule | > 0 |
/// | `probe_schedule` | constant | schedule of the probe's learning rate, over the probe's epochs | [`Schedule`] |
///
/// No single learning rate suits the features of every model, and the paper names only one for its own recipe. The
/// probe therefore uses the configured learning rate unless it has its own. The factor
/// [`GroupsConfig::head_learning_rate`](crate::GroupsConfig::head_learning_rate) applies to both. Momentum, weight decay,
/// gradient clipping, augmentation, label smoothing, mixup and the adversary are those of the full phase.
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProbeConfig {
    /// Epochs of the probe; the full phase has the remaining epochs.
    #[serde(rename = "probe_epochs")]
    pub epochs: usize,
    /// Learning rate of the probe; `None` to use that of the full phase.
    #[serde(rename = "probe_learning_rate", default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Schedule of the probe's learning rate.
    #[serde(rename = "probe_schedule", default = "constant")]
    pub schedule: Schedule,
}

fn constant() -> Schedule {
    Schedule::Constant
}

impl ProbeConfig {
    /// Creates a probe of the given number of epochs, with the training's learning rate and a constant schedule.
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
