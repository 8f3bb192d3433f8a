use twins_attack::Precision;
use twins_data::Augmentation;

use super::adversary::AdversaryConfig;
use super::epsilon_schedule::EpsilonSchedule;
use super::frozen_from::FrozenFrom;
use super::train_config::{NonFinite, TrainConfig, ValidationConfig};
use super::tuning::Tuning;
use crate::objectives::AutoLoraConfig;
use crate::optimisers::{AwpConfig, GroupsConfig, OptimiserConfig, Schedule};

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $field:ident: $type:ty,)*) => {
        impl TrainConfig {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut self, $field: $type) -> Self {
                    self.$field = $field.into();
                    self
                }
            )*
        }
    };
}

impl TrainConfig {
    /// Sets the number of passes over the training images. The milestones of the default schedule move in proportion; any other schedule
    /// remains.
    ///
    /// A run that is resumed with more epochs keeps its schedule. Set the field `epochs` then, which moves no milestones.
    #[must_use]
    pub fn with_epochs(self, epochs: usize) -> Self {
        self.with_moved_milestones(|config| config.epochs = epochs)
    }

    /// Sets which parts of the model are trained. With a probe, the milestones of the default schedule become those of the epochs after
    /// it; any other schedule remains.
    #[must_use]
    pub fn with_tuning(self, tuning: Tuning) -> Self {
        self.with_moved_milestones(|config| config.tuning = tuning)
    }

    /// Makes a change, and moves the milestones of the default schedule with the number of epochs that the schedule covers.
    fn with_moved_milestones(mut self, change: impl FnOnce(&mut Self)) -> Self {
        let is_default = self.schedule == Schedule::paper(self.full_epochs());
        change(&mut self);
        if is_default {
            self.schedule = Schedule::paper(self.full_epochs());
        }
        self
    }
}

setters! {
    /// Sets the largest number of images per step.
    with_batch_size: batch_size: usize,
    /// Sets whether an epoch consists of full batches only.
    with_drop_last: drop_last: bool,
    /// Sets the number of micro-batches into which a step's images are divided.
    with_accumulate: accumulate: usize,
    /// Sets the learning rate before the schedule.
    with_learning_rate: learning_rate: f64,
    /// Sets the momentum.
    with_momentum: momentum: f64,
    /// Sets the weight decay.
    with_weight_decay: weight_decay: f64,
    /// Sets the weight of the frozen wing's loss.
    with_lambda: lambda: f64,
    /// Sets the weight of the divergence in TRADES, TWINS-TRADES and MART.
    with_beta: beta: f64,
    /// Sets the optimiser.
    with_optimiser: optimiser: OptimiserConfig,
    /// Sets the parameter groups.
    with_groups: groups: GroupsConfig,
    /// Sets the label smoothing.
    with_label_smoothing: label_smoothing: f64,
    /// Sets alpha of mixup's Beta distribution.
    with_mixup: mixup: f64,
    /// Sets the warm-up of the training adversary's epsilon.
    with_epsilon_schedule: epsilon_schedule: EpsilonSchedule,
    /// Sets the learning-rate schedule.
    with_schedule: schedule: Schedule,
    /// Sets the epochs over which the learning rate rises linearly.
    with_warmup_epochs: warmup_epochs: f64,
    /// Sets the source of the frozen wing at the start.
    with_frozen_from: frozen_from: FrozenFrom,
    /// Sets the path prefixes of parameters that are never trained.
    with_freeze: freeze: Vec<String>,
    /// Sets the largest norm of the gradient.
    with_gradient_clip: gradient_clip: f64,
    /// Sets the decay of the exponential moving average of the weights.
    with_ema_decay: ema_decay: f64,
    /// Sets the number of epochs without a better validation robust accuracy after which training stops.
    with_early_stopping: early_stopping: usize,
    /// Sets the steps between checkpoints.
    with_checkpoint_steps: checkpoint_steps: usize,
    /// Sets what happens when a loss or gradient is not finite.
    with_non_finite: non_finite: NonFinite,
    /// Sets whether the running statistics of several devices are averaged after every step.
    with_sync_statistics: sync_statistics: bool,
    /// Sets the seed.
    with_seed: seed: u64,
    /// Sets the training adversary.
    with_adversary: adversary: AdversaryConfig,
    /// Sets the precision of the training passes.
    with_precision: precision: Precision,
    /// Sets the precision of the training adversary's passes.
    with_attack_precision: attack_precision: Precision,
    /// Sets the validation.
    with_validation: validation: ValidationConfig,
    /// Sets the augmentation of the training images.
    with_augmentation: augmentation: Augmentation,
    /// Sets the adversarial weight perturbation.
    with_awp: awp: AwpConfig,
    /// Sets the branch of the method `auto-lora`.
    with_auto_lora: auto_lora: AutoLoraConfig,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Method, ProbeConfig};

    #[test]
    fn the_default_schedule_spans_the_epochs_after_a_probe() {
        let probe = Tuning::ProbeThenFull(ProbeConfig::new(6));
        let config = TrainConfig::new(Method::At);
        for config in [
            config.clone().with_epochs(18).with_tuning(probe.clone()),
            config.clone().with_tuning(probe.clone()).with_epochs(18),
        ] {
            assert_eq!(config.schedule, Schedule::MultiStep { milestones: vec![6, 10], gamma: 0.1 });
            assert_eq!(config.with_tuning(Tuning::Full).schedule, Schedule::paper(18));
        }
        let given = config.with_schedule(Schedule::Constant).with_tuning(probe);
        assert_eq!(given.schedule, Schedule::Constant);
    }
}
