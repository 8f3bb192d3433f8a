use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use twins_nn::WingDrift;

use super::accuracy::Accuracy;
use crate::objectives::OBJECTIVE_PARAMETERS;
use crate::parameters::is_under;

/// The measurements of one epoch: a line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EpochMetrics {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Training steps since the beginning of training.
    pub steps: usize,
    /// The learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// The loss, averaged over the epoch's samples.
    pub loss: f64,
    /// The frozen wing's unweighted part of the loss; `None` for methods without two wings. While only the head is trained, this half
    /// of the batch uses the adaptive wing as well.
    pub loss_frozen: Option<f64>,
    /// The adaptive wing's part of the loss.
    pub loss_adaptive: f64,
    /// Accuracy of the training passes, which is on adversarial examples if the method uses an adversary.
    pub train_adversarial_accuracy: Accuracy,
    /// Clean accuracy on as many training images as the validation split has, at the end of the epoch and without
    /// augmentation; `None` without a validation split and in files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_clean_accuracy: Option<Accuracy>,
    /// Clean accuracy on the validation split; `None` without a validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_clean_accuracy: Option<Accuracy>,
    /// Robust accuracy on the validation split; `None` without a validation split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_robust_accuracy: Option<Accuracy>,
    /// Clean and robust accuracy of the averaged weights on the validation split; `None` without averaged weights
    /// or without a validation split.
    pub ema_accuracy: Option<[Accuracy; 2]>,
    /// Clean accuracies on the training images that the objective measured at the start of the epoch, by name. An example is
    /// [`AutoLora::NATURAL_BRANCH`](crate::AutoLora::NATURAL_BRANCH), which determines the weights of the epoch's loss.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objective_accuracies: BTreeMap<String, Accuracy>,
    /// Mean Euclidean norm of the whole gradient.
    pub gradient_norm: f64,
    /// The norms and the effective learning rate of each trained weight of two or more dimensions, by path: not of biases, gamma and
    /// beta, nor of a weight whose norm is 0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, LayerMetrics>,
    /// The distance of the running statistics from the frozen ones at the end of the epoch, by two-wing layer. Empty
    /// for models without such layers and in files of older versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wing_drift: BTreeMap<String, WingDrift>,
    /// The number of batches skipped because of a NaN or infinite value.
    pub skipped_batches: usize,
    /// Training images per second, excluding validation.
    pub images_per_second: f64,
    /// The duration of training and validation in seconds.
    pub seconds: f64,
    /// The part of [`seconds`](Self::seconds) in which training waited for data.
    pub seconds_waiting: f64,
}

impl EpochMetrics {
    /// Clean and robust accuracy on the validation split; `None` without a validation split.
    pub fn validation(&self) -> Option<[Accuracy; 2]> {
        Some([self.validation_clean_accuracy?, self.validation_robust_accuracy?])
    }

    /// The layers of the model: [`layers`](Self::layers) without the parameters that the objective adds
    /// ([`ObjectiveParameters`](crate::ObjectiveParameters)), such as the branch of AutoLoRa.
    pub fn model_layers(&self) -> impl Iterator<Item = (&str, &LayerMetrics)> {
        let layers = self.layers.iter().map(|(path, layer)| (path.as_str(), layer));
        layers.filter(|(path, _)| !is_under(path, OBJECTIVE_PARAMETERS))
    }

    /// The [geometric mean](geometric_mean) of the positive values of the layers of the [model](Self::model_layers): those of the parameters of an
    /// objective are left out, because models trained by other methods do not have them.
    pub fn mean_of_layers(&self, value: impl Fn(&LayerMetrics) -> Option<f64>) -> Option<f64> {
        geometric_mean(self.model_layers().filter_map(|(_, layer)| value(layer)))
    }

    /// The [mean over the layers](Self::mean_of_layers) of the effective learning rate.
    pub fn effective_learning_rate(&self) -> Option<f64> {
        self.mean_of_layers(|layer| Some(layer.effective_learning_rate))
    }

    /// Whether the epoch trained on any batch. If not, because every batch was skipped, there was no loss, and the losses, the gradient norm
    /// and the accuracy of the training passes are 0.
    pub fn has_trained(&self) -> bool {
        self.train_adversarial_accuracy.total > 0
    }

    /// The fraction of [`seconds`](Self::seconds) in which training waited for data, in [0, 1].
    pub fn waiting_fraction(&self) -> f64 {
        self.seconds_waiting / self.seconds.max(1e-9)
    }
}

/// The geometric mean exp(mean(ln v)) of the positive values, which suits quantities whose magnitude differs between layers; `None` if no
/// value is positive.
///
/// ```
/// let mean = twins_train::geometric_mean([1.0, 100.0]).unwrap();
/// assert!((mean - 10.0).abs() < 1e-12);
/// ```
pub fn geometric_mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let logarithms: Vec<f64> = values.into_iter().filter(|value| *value > 0.0).map(f64::ln).collect();
    let count = logarithms.len();
    (count > 0).then(|| (logarithms.iter().sum::<f64>() / count as f64).exp())
}

/// Norms of one weight in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LayerMetrics {
    /// Euclidean norm of the weight at the end of the epoch.
    pub weight_norm: f64,
    /// Mean Euclidean norm of its gradient.
    pub gradient_norm: f64,
    /// The effective learning rate, learning rate / weight norm². It is the effective step size of a weight that is
    /// followed by batch normalisation, because the output of the normalisation does not depend on the norm of the
    /// weight (TWINS, section 3.3).
    pub effective_learning_rate: f64,
    /// The relative update ‖Δw‖ / ‖w‖ of the epoch's last step, including momentum and weight decay; `None` if the run
    /// was stopped between that step and the end of the epoch, or if the weight was zero before that step.
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
        assert!((metrics.waiting_fraction() - 0.25).abs() < 1e-12);
        let again = serde_json::to_string(&metrics).unwrap();
        assert_eq!(serde_json::from_str::<EpochMetrics>(&again).unwrap(), metrics);
    }

    #[test]
    fn the_geometric_mean_is_of_positive_values() {
        // (1 · 100)^(1/2); a zero has no logarithm.
        let mean = geometric_mean([1.0, 0.0, 100.0]).unwrap();
        // Of a logarithm and an exponential.
        assert!((mean - 10.0).abs() < 1e-12, "{mean}");
        assert_eq!(geometric_mean([0.0]), None);
    }
}
