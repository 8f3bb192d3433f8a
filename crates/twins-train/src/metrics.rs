use std::collections::BTreeMap;

use burn::tensor::TensorData;
use serde::{Deserialize, Serialize};
use twins_nn::WingDrift;

use crate::weights::Weights;
use crate::{Accuracy, Evaluation};

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
    /// Clean accuracy of AutoLoRa's natural branch on the training images when the epoch began: it sets the weights of
    /// the epoch's loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub natural_branch_accuracy: Option<Accuracy>,
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

/// Sums over the steps of an epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EpochSums {
    pub(crate) samples: usize,
    pub(crate) correct: usize,
    pub(crate) steps: usize,
    pub(crate) skipped: usize,
    pub(crate) loss: f64,
    pub(crate) frozen: Option<f64>,
    pub(crate) adaptive: f64,
    pub(crate) gradient_norm: f64,
    pub(crate) gradient_norms: BTreeMap<String, f64>,
    /// ‖Δw‖ / ‖w‖ of the last step.
    pub(crate) relative_updates: BTreeMap<String, f64>,
    pub(crate) seconds: f64,
    pub(crate) waiting: f64,
    /// Clean accuracy of AutoLoRa's branch on the training images, measured when the epoch began.
    pub(crate) natural: Option<Accuracy>,
    /// Seconds that measuring it took.
    pub(crate) measuring: f64,
}

impl EpochSums {
    pub(crate) fn add(&mut self, report: &crate::StepReport) {
        let weight = report.samples as f64;
        self.samples += report.samples;
        self.correct += report.correct;
        self.steps += 1;
        self.loss += weight * report.loss;
        self.adaptive += weight * report.adaptive_loss;
        if let Some(frozen) = report.frozen_loss {
            *self.frozen.get_or_insert(0.0) += weight * frozen;
        }
        self.gradient_norm += report.gradient_norm;
        for (path, norm) in &report.gradient_norms {
            *self.gradient_norms.entry(path.clone()).or_default() += norm;
        }
    }

    pub(crate) fn mean_loss(&self) -> f64 {
        self.loss / self.samples.max(1) as f64
    }

    pub(crate) fn accuracy(&self) -> Accuracy {
        Accuracy { correct: self.correct, total: self.samples }
    }

    /// The line of a finished epoch; `evaluations` of the raw and the averaged weights.
    pub(crate) fn into_metrics(
        self,
        position: (usize, usize),
        learning_rate: f64,
        evaluations: (Option<Evaluation>, Option<Evaluation>),
        weights: &Weights,
        validation_seconds: f64,
    ) -> EpochMetrics {
        let samples = self.samples.max(1) as f64;
        let steps = self.steps.max(1) as f64;
        let (raw, averaged) = evaluations;
        let layers = self
            .gradient_norms
            .iter()
            .filter_map(|(path, norm)| {
                // Zero has no effective learning rate: a branch's factor before its first step.
                let weight_norm = weight_norm(weights.tensors().get(path)?).filter(|norm| *norm > 0.0)?;
                let effective_learning_rate = learning_rate / (weight_norm * weight_norm);
                let layer = LayerMetrics {
                    weight_norm,
                    gradient_norm: norm / steps,
                    effective_learning_rate,
                    relative_update: self.relative_updates.get(path).copied(),
                };
                Some((path.clone(), layer))
            })
            .collect();
        EpochMetrics {
            epoch: position.0,
            steps: position.1,
            learning_rate,
            loss: self.loss / samples,
            loss_frozen: self.frozen.map(|frozen| frozen / samples),
            loss_adaptive: self.adaptive / samples,
            train_adversarial_accuracy: self.accuracy(),
            train_clean_accuracy: None,
            validation_clean_accuracy: raw.map(|raw| raw.clean),
            validation_robust_accuracy: raw.map(|raw| raw.robust.unwrap_or(raw.clean)),
            ema_accuracy: averaged
                .map(|averaged| [averaged.clean, averaged.robust.unwrap_or(averaged.clean)]),
            natural_branch_accuracy: self.natural,
            gradient_norm: self.gradient_norm / steps,
            layers,
            wing_drift: BTreeMap::new(),
            skipped_batches: self.skipped,
            images_per_second: self.samples as f64 / self.seconds.max(1e-9),
            seconds: self.seconds + self.measuring + validation_seconds,
            seconds_waiting: self.waiting,
        }
    }
}

/// Of a weight in front of a normalisation: matrices and kernels only.
fn weight_norm(weight: &TensorData) -> Option<f64> {
    let matrix = weight.rank() >= 2;
    matrix.then(|| weight.iter::<f64>().map(|value| value * value).sum::<f64>().sqrt())
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
