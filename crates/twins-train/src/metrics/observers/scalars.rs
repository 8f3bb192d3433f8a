use super::step_record::StepRecord;
use crate::metrics::{Accuracy, EpochMetrics};

/// The name and value of a number of a step or an epoch; `None` if it was not measured. Accuracies are fractions.
pub(super) type Scalar = (&'static str, Option<f64>);

/// The numbers of a step, except its position.
pub(super) fn of_step(step: &StepRecord) -> [Scalar; 7] {
    [
        ("learning_rate", Some(step.learning_rate)),
        ("loss", Some(step.loss)),
        ("loss_frozen", step.loss_frozen),
        ("loss_adaptive", Some(step.loss_adaptive)),
        ("accuracy", Some(step.accuracy.fraction())),
        ("gradient_norm", Some(step.gradient_norm)),
        ("seconds", Some(step.seconds)),
    ]
}

/// The numbers of an epoch, except its position. Those of single layers and of the objective are not included, because
/// their names depend on the model and the method.
pub(super) fn of_epoch(epoch: &EpochMetrics) -> [Scalar; 15] {
    let fraction = |accuracy: Option<Accuracy>| accuracy.map(Accuracy::fraction);
    let trained = |value: f64| epoch.has_trained().then_some(value);
    let [ema_clean, ema_robust] = [0, 1].map(|place| epoch.ema_accuracy.map(|pair| pair[place]));
    [
        ("learning_rate", Some(epoch.learning_rate)),
        ("loss", trained(epoch.loss)),
        ("loss_frozen", epoch.loss_frozen),
        ("loss_adaptive", trained(epoch.loss_adaptive)),
        ("train_adversarial_accuracy", trained(epoch.train_adversarial_accuracy.fraction())),
        ("train_clean_accuracy", fraction(epoch.train_clean_accuracy)),
        ("validation_clean_accuracy", fraction(epoch.validation_clean_accuracy)),
        ("validation_robust_accuracy", fraction(epoch.validation_robust_accuracy)),
        ("ema_clean_accuracy", fraction(ema_clean)),
        ("ema_robust_accuracy", fraction(ema_robust)),
        ("gradient_norm", trained(epoch.gradient_norm)),
        ("skipped_batches", Some(epoch.skipped_batches as f64)),
        ("images_per_second", Some(epoch.images_per_second)),
        ("seconds", Some(epoch.seconds)),
        ("seconds_waiting", Some(epoch.seconds_waiting)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::metrics::EpochSums;
    use crate::optimisers::ParameterGroups;
    use crate::parameters::Weights;

    #[test]
    fn an_epoch_of_skipped_batches_has_no_loss() {
        let unknown = |total: usize| -> Vec<&'static str> {
            let sums = EpochSums { samples: total, skipped: 3, seconds: 2.0, ..EpochSums::default() };
            let metrics = sums.into_metrics(
                (1, 3),
                0.5,
                &ParameterGroups::new(),
                (None, None),
                &Weights(BTreeMap::new()),
                0.0,
            );
            let unknown = of_epoch(&metrics).into_iter().filter(|(_, value)| value.is_none());
            unknown.map(|(name, _)| name).collect()
        };
        let trained = unknown(9);
        let skipped: Vec<&str> = unknown(0).into_iter().filter(|name| !trained.contains(name)).collect();
        assert_eq!(skipped, ["loss", "loss_adaptive", "train_adversarial_accuracy", "gradient_norm"]);
    }
}
