use serde::{Deserialize, Serialize};

use crate::metrics::{Accuracy, StepReport};

/// The measurements of one training step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StepRecord {
    /// The step since the beginning of the training, from 1.
    pub step: usize,
    /// The epoch, from 1.
    pub epoch: usize,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// The loss, a mean over the batch.
    pub loss: f64,
    /// The frozen wing's unweighted part of the loss; `None` for methods without two wings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_frozen: Option<f64>,
    /// The adaptive wing's part of the loss.
    pub loss_adaptive: f64,
    /// Accuracy of the training pass, which is on adversarial examples if the method uses an adversary.
    pub accuracy: Accuracy,
    /// Euclidean norm of the whole gradient, before clipping.
    pub gradient_norm: f64,
    /// The duration of the step in seconds, including the time that it waited for data.
    pub seconds: f64,
}

impl StepRecord {
    /// Creates a record; `step` and `epoch` count from 1.
    pub(crate) fn new(
        (step, epoch): (usize, usize),
        learning_rate: f64,
        report: &StepReport,
        seconds: f64,
    ) -> Self {
        Self {
            step,
            epoch,
            learning_rate,
            loss: report.loss,
            loss_frozen: report.frozen_loss,
            loss_adaptive: report.adaptive_loss,
            accuracy: Accuracy { correct: report.correct, total: report.samples },
            gradient_norm: report.gradient_norm,
            seconds,
        }
    }
}
