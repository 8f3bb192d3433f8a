//! Records and metrics for unit tests.

use std::collections::BTreeMap;

use twins_train::{Accuracy, EpochMetrics};

/// Creates the metrics of an epoch without layers. `robust` and `clean` are numbers of correct images, out of 20
/// validation images.
pub(crate) fn epoch(number: usize, robust: usize, clean: usize) -> EpochMetrics {
    let accuracy = |correct| Accuracy { correct, total: 20 };
    EpochMetrics {
        epoch: number,
        steps: 5 * number,
        learning_rate: 0.01,
        loss: 2.0 / number as f64,
        loss_frozen: None,
        loss_adaptive: 2.0 / number as f64,
        train_adversarial_accuracy: accuracy(robust),
        train_clean_accuracy: Some(accuracy(clean)),
        validation_clean_accuracy: Some(accuracy(clean)),
        validation_robust_accuracy: Some(accuracy(robust)),
        ema_accuracy: None,
        objective_accuracies: BTreeMap::new(),
        gradient_norm: 1.0,
        layers: BTreeMap::new(),
        wing_drift: BTreeMap::new(),
        skipped_batches: 0,
        images_per_second: 100.0,
        seconds: 2.0,
        seconds_waiting: 0.5,
    }
}
