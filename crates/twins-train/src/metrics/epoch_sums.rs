use std::collections::BTreeMap;

use burn::tensor::TensorData;

use super::accuracy::{Accuracy, Evaluation};
use super::epoch_metrics::{EpochMetrics, LayerMetrics};
use super::step_report::StepReport;
use crate::optimisers::ParameterGroups;
use crate::parameters::Weights;

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
    /// Clean accuracies on the training images that the objective measured at the start of the epoch.
    pub(crate) objective_accuracies: BTreeMap<String, Accuracy>,
    /// Seconds spent on measuring these accuracies.
    pub(crate) measuring: f64,
}

impl EpochSums {
    pub(crate) fn add(&mut self, report: &StepReport) {
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

    /// Creates the metrics of a finished epoch. `learning_rate` is that of its last step, before the factors of `groups`, and
    /// `evaluations` are those of the raw and of the averaged weights.
    pub(crate) fn into_metrics(
        self,
        position: (usize, usize),
        learning_rate: f64,
        groups: &ParameterGroups,
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
                // A weight of zero, such as a branch's factor before its first step, has no effective learning rate.
                let weight_norm = weight_norm(weights.tensors().get(path)?).filter(|norm| *norm > 0.0)?;
                let own_rate = learning_rate * groups.learning_rate_factor(path);
                let effective_learning_rate = own_rate / (weight_norm * weight_norm);
                // The relative update of a weight that was zero is infinite.
                let relative_update =
                    self.relative_updates.get(path).copied().filter(|update| update.is_finite());
                let gradient_norm = norm / steps;
                let layer =
                    LayerMetrics { weight_norm, gradient_norm, effective_learning_rate, relative_update };
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
            objective_accuracies: self.objective_accuracies,
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

/// The Euclidean norm of a matrix or kernel, which a normalisation may follow; `None` for other parameters.
fn weight_norm(weight: &TensorData) -> Option<f64> {
    let matrix = weight.rank() >= 2;
    matrix.then(|| weight.iter::<f64>().map(|value| value * value).sum::<f64>().sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_by_hand() {
        let step = |samples, correct, loss, gradient_norm: f64| StepReport {
            loss,
            frozen_loss: Some(2.0 * loss),
            adaptive_loss: 3.0 * loss,
            correct,
            samples,
            gradient_norm,
            gradient_norms: [("bias", 1.0), ("conv", 10.0), ("head", 1.0), ("zero", 1.0)]
                .map(|(path, factor)| (path.to_owned(), factor * gradient_norm))
                .to_vec(),
            non_finite_parameter: None,
        };
        let updates = [("conv", 0.125), ("head", f64::INFINITY)];
        let mut sums = EpochSums {
            skipped: 1,
            relative_updates: updates.map(|(path, update)| (path.to_owned(), update)).into(),
            seconds: 2.0,
            waiting: 0.25,
            measuring: 0.5,
            ..EpochSums::default()
        };
        sums.add(&step(6, 5, 1.0, 1.0));
        sums.add(&step(2, 1, 5.0, 4.0));
        let weights = Weights(BTreeMap::from([
            ("bias".to_owned(), TensorData::from([3.0f32, 4.0])),
            ("conv".to_owned(), TensorData::from([[3.0f32, 4.0]])),
            ("head".to_owned(), TensorData::from([[2.0f32], [0.0]])),
            ("zero".to_owned(), TensorData::from([[0.0f32]])),
        ]));
        let accuracy = |correct| Accuracy { correct, total: 9 };
        let evaluation =
            |clean, robust| Some(Evaluation { clean: accuracy(clean), robust: Some(accuracy(robust)) });
        let evaluations = (evaluation(8, 7), evaluation(6, 5));
        let groups = ParameterGroups::new().with_head("head", 8.0);
        let metrics = sums.into_metrics((7, 30), 0.5, &groups, evaluations, &weights, 1.0);

        assert_eq!((metrics.epoch, metrics.steps, metrics.skipped_batches), (7, 30, 1));
        // Losses are means over samples, (6 · 1 + 2 · 5) / 8, and gradient norms are means over steps, (1 + 4) / 2.
        assert_eq!((metrics.loss, metrics.loss_frozen, metrics.loss_adaptive), (2.0, Some(4.0), 6.0));
        assert_eq!(metrics.gradient_norm, 2.5);
        assert_eq!(metrics.train_adversarial_accuracy, Accuracy { correct: 6, total: 8 });
        assert_eq!(metrics.validation(), Some([accuracy(8), accuracy(7)]));
        assert_eq!(metrics.ema_accuracy, Some([accuracy(6), accuracy(5)]));
        // 8 images in the 2 seconds of the steps, which the other measurements do not belong to.
        assert_eq!((metrics.images_per_second, metrics.seconds, metrics.seconds_waiting), (4.0, 3.5, 0.25));
        // Neither a bias nor a weight of zero is a layer. 0.5 / 5², and 8 · 0.5 / 2² at the learning rate of the head.
        let layer = |weight_norm, gradient_norm, effective_learning_rate, relative_update| LayerMetrics {
            weight_norm,
            gradient_norm,
            effective_learning_rate,
            relative_update,
        };
        let expected = [("conv", layer(5.0, 25.0, 0.02, Some(0.125))), ("head", layer(2.0, 2.5, 1.0, None))];
        assert_eq!(metrics.layers, BTreeMap::from(expected.map(|(path, layer)| (path.to_owned(), layer))));
        assert!(metrics.has_trained());
    }

    #[test]
    fn an_epoch_of_skipped_batches_has_not_trained() {
        let sums = EpochSums { skipped: 3, seconds: 2.0, ..EpochSums::default() };
        let metrics = sums.into_metrics(
            (1, 3),
            0.5,
            &ParameterGroups::new(),
            (None, None),
            &Weights(BTreeMap::new()),
            0.0,
        );
        assert!(!metrics.has_trained());
        assert_eq!((metrics.skipped_batches, metrics.images_per_second), (3, 0.0));
    }
}
