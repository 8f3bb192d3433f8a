use serde::{Deserialize, Serialize};
use twins_train::{Accuracy, EpochMetrics};

/// What the conclusions of a study need of an epoch, without durations: a part of the run's `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EpochResult {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The frozen wing's unweighted loss, averaged over the epoch; `None` for methods without two wings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_frozen: Option<f64>,
    /// The adaptive wing's loss, averaged over the epoch.
    pub loss_adaptive: f64,
    /// Accuracy of the training passes, which is on adversarial examples if the method uses an adversary.
    pub train_adversarial_accuracy: Accuracy,
    /// Clean accuracy on the validation images; `None` without validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_clean_accuracy: Option<Accuracy>,
    /// Robust accuracy on the validation images; `None` without validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_robust_accuracy: Option<Accuracy>,
    /// Mean Euclidean norm of the whole gradient, before it is limited.
    pub gradient_norm: f64,
    /// The geometric mean over the layers of the model of learning rate / weight norm²; `None` if no layer was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_learning_rate: Option<f64>,
}

impl From<&EpochMetrics> for EpochResult {
    fn from(metrics: &EpochMetrics) -> Self {
        Self {
            epoch: metrics.epoch,
            loss_frozen: metrics.loss_frozen,
            loss_adaptive: metrics.loss_adaptive,
            train_adversarial_accuracy: metrics.train_adversarial_accuracy,
            validation_clean_accuracy: metrics.validation_clean_accuracy,
            validation_robust_accuracy: metrics.validation_robust_accuracy,
            gradient_norm: metrics.gradient_norm,
            effective_learning_rate: metrics.effective_learning_rate(),
        }
    }
}
