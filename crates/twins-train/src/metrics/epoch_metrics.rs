use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use twins_nn::WingDrift;

use super::accuracy::Accuracy;

/// What one epoch measured: a line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Training steps since the beginning.
    pub steps: usize,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// The loss, averaged over the epoch's samples.
    pub loss: f64,
    /// The frozen wing's unweighted share, for two-wing methods.
    pub loss_frozen: Option<f64>,
    /// The adaptive wing's share.
    pub loss_adaptive: f64,
    /// Accuracy of the training passes, on the adversary's images where there is one.
    pub train_adversarial_accuracy: Accuracy,
    /// Clean accuracy on training images, as many as the validation split has, at the epoch's end and without
    /// augmentation; `None` without a validation and in files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_clean_accuracy: Option<Accuracy>,
    /// Clean accuracy on the validation split; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_clean_accuracy: Option<Accuracy>,
    /// Robust accuracy on the validation split; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_robust_accuracy: Option<Accuracy>,
    /// The same two of the averaged weights, where there are any.
    pub ema_accuracy: Option<[Accuracy; 2]>,
    /// Clean accuracies on the training images that the objective measured when the epoch began, by name; for instance that of
    /// [`AutoLora::NATURAL_BRANCH`](crate::AutoLora::NATURAL_BRANCH), which sets the weights of the epoch's loss.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objective_accuracies: BTreeMap<String, Accuracy>,
    /// Mean Euclidean norm of the whole gradient.
    pub gradient_norm: f64,
    /// By layer parameter: its norms and effective learning rate.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, LayerMetrics>,
    /// By two-wing layer: how far the running statistics are from the frozen ones at the epoch's end. Empty for models
    /// without such layers and in files of older versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wing_drift: BTreeMap<String, WingDrift>,
    /// Batches left out because of a NaN or infinite value.
    pub skipped_batches: usize,
    /// Training images per second, validation left out.
    pub images_per_second: f64,
    /// Seconds of training and validation.
    pub seconds: f64,
    /// Seconds of them that the training waited for data.
    pub seconds_waiting: f64,
}

impl EpochMetrics {
    /// Clean and robust accuracy on the validation split; `None` without one.
    pub fn validation(&self) -> Option<[Accuracy; 2]> {
        Some([self.validation_clean_accuracy?, self.validation_robust_accuracy?])
    }

    /// The share of [`seconds`](Self::seconds) that the training waited for data, in [0, 1].
    pub fn waiting_share(&self) -> f64 {
        self.seconds_waiting / self.seconds.max(1e-9)
    }
}

/// Norms of one weight over an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerMetrics {
    /// Euclidean norm of the weight at the epoch's end.
    pub weight_norm: f64,
    /// Mean Euclidean norm of its gradient.
    pub gradient_norm: f64,
    /// learning rate / weight norm²: the step that a weight in front of a batch normalisation, whose output does
    /// not depend on the weight's norm, effectively makes (TWINS, section 3.3).
    pub effective_learning_rate: f64,
    /// ‖Δw‖ / ‖w‖ of the epoch's last step: the same as measured, momentum and weight decay included. `None` where the
    /// run was stopped between that step and the epoch's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_update: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_older_versions_are_read() {
        let old = "{\"epoch\":1,\"steps\":6,\"learning_rate\":0.05,\"loss\":2.8,\"loss_frozen\":1.4,\"loss_adaptive\":1.4,\
                   \"train_adversarial_accuracy\":{\"correct\":20,\"total\":81},\
                   \"validation_clean_accuracy\":{\"correct\":3,\"total\":9},\
                   \"validation_robust_accuracy\":{\"correct\":2,\"total\":9},\"ema_accuracy\":null,\
                   \"gradient_norm\":0.5,\"skipped_batches\":0,\"images_per_second\":900.0,\"seconds\":0.2,\
                   \"seconds_waiting\":0.05}";
        let metrics: EpochMetrics = serde_json::from_str(old).unwrap();
        assert_eq!(metrics.train_clean_accuracy, None);
        assert!(metrics.wing_drift.is_empty() && metrics.layers.is_empty());
        assert!((metrics.waiting_share() - 0.25).abs() < 1e-12);
        let again = serde_json::to_string(&metrics).unwrap();
        assert_eq!(serde_json::from_str::<EpochMetrics>(&again).unwrap(), metrics);
    }
}
