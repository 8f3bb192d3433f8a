use twins_attack::Precision;

use super::train_config::TrainConfig;
use super::tuning::Tuning;
use crate::error::TrainError;
use crate::optimisers::{OptimiserConfig, Schedule};

impl TrainConfig {
    /// Checks that every value is in its range. This does not check whether the parts of a step have enough images,
    /// because that also depends on the devices and the model; see [`check_parts`](Self::check_parts) and
    /// [`Trainer::fit`](crate::Trainer::fit).
    ///
    /// # Errors
    ///
    /// An error for the first value that is outside its range.
    pub fn validate(&self) -> Result<(), TrainError> {
        if self.epochs == 0 {
            return Err(TrainError::NoEpochs);
        }
        if self.batch_size < 2 {
            return Err(TrainError::BatchSize { size: self.batch_size });
        }
        if self.accumulate == 0 {
            return Err(TrainError::Zero { name: "accumulate" });
        }
        if self.precision == Precision::F16 {
            return Err(TrainError::TrainingInF16);
        }
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        check("learning_rate", self.learning_rate, positive, "above 0 and finite")?;
        check("momentum", self.momentum, |value| (0.0..1.0).contains(&value), "at least 0 and below 1")?;
        check("weight_decay", self.weight_decay, not_negative, "at least 0 and finite")?;
        check("lambda", self.lambda, not_negative, "at least 0 and finite")?;
        check("beta", self.beta, not_negative, "at least 0 and finite")?;
        check("warmup_epochs", self.warmup_epochs, not_negative, "at least 0 and finite")?;
        let fraction = |value: f64| (0.0..1.0).contains(&value);
        if let OptimiserConfig::AdamW { betas: [beta1, beta2], epsilon } = self.optimiser {
            check("optimiser.betas[0]", beta1, fraction, "at least 0 and below 1")?;
            check("optimiser.betas[1]", beta2, fraction, "at least 0 and below 1")?;
            check("optimiser.epsilon", epsilon, positive, "above 0 and finite")?;
        }
        check("groups.head_learning_rate", self.groups.head_learning_rate, positive, "above 0 and finite")?;
        check("label_smoothing", self.label_smoothing, fraction, "at least 0 and below 1")?;
        if let Some(alpha) = self.mixup {
            check("mixup", alpha, positive, "above 0 and finite")?;
        }
        if let Some(schedule) = self.epsilon_schedule {
            check(
                "epsilon_schedule.clean_epochs",
                schedule.clean_epochs,
                not_negative,
                "at least 0 and finite",
            )?;
            check("epsilon_schedule.rise_epochs", schedule.rise_epochs, positive, "above 0 and finite")?;
        }
        if let Some(clip) = self.gradient_clip {
            check("gradient_clip", clip, positive, "above 0 and finite")?;
        }
        if let Some(decay) = self.ema_decay {
            check("ema_decay", decay, |value| value > 0.0 && value < 1.0, "above 0 and below 1")?;
        }
        for (name, count) in
            [("early_stopping", self.early_stopping), ("checkpoint_steps", self.checkpoint_steps)]
        {
            if count == Some(0) {
                return Err(TrainError::Zero { name });
            }
        }
        if let Tuning::ProbeThenFull(probe) = &self.tuning {
            if probe.epochs == 0 {
                return Err(TrainError::Zero { name: "tuning.probe_epochs" });
            }
            if let Some(rate) = probe.learning_rate {
                check("tuning.probe_learning_rate", rate, positive, "above 0 and finite")?;
            }
            let problem = probe.schedule.validate();
            problem.map_err(|problem| TrainError::ProbeSchedule { problem: Box::new(problem) })?;
        }
        if let Some(awp) = self.awp {
            check("awp.gamma", awp.gamma, |value| value > 0.0 && value <= 1.0, "above 0 and at most 1")?;
        }
        if self.auto_lora.rank == 0 {
            return Err(TrainError::Zero { name: "auto_lora.rank" });
        }
        check("auto_lora.divergence", self.auto_lora.divergence, not_negative, "at least 0 and finite")?;
        check("auto_lora.alpha", self.auto_lora.alpha, positive, "above 0 and finite")?;
        self.schedule.validate()?;
        if let Some(fraction) = self.validation.fraction {
            let range = "above 0 and below 1; \"none\" holds no images out";
            check("validation.fraction", fraction, |value| value > 0.0 && value < 1.0, range)?;
        } else if self.early_stopping.is_some() {
            return Err(TrainError::NeedsValidation { setting: "early_stopping" });
        } else if matches!(self.schedule, Schedule::RobustAccuracy { .. }) {
            return Err(TrainError::NeedsValidation { setting: "the schedule robust-accuracy" });
        } else if let Tuning::ProbeThenFull(probe) = &self.tuning
            && matches!(probe.schedule, Schedule::RobustAccuracy { .. })
        {
            return Err(TrainError::NeedsValidation { setting: "the probe's schedule robust-accuracy" });
        }
        self.adversary.build()?;
        self.validation_protocol()?;
        Ok(())
    }
}

impl TrainConfig {
    /// Describes the first setting in which another configuration differs; `None` if there is no difference.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let [ours, theirs] = [self, other].map(|config| serde_json::to_value(config).expect("plain data"));
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
        };
        let null = serde_json::Value::Null;
        keys(&ours).into_iter().chain(keys(&theirs)).find_map(|key| {
            let (ours, theirs) = (ours.get(&key).unwrap_or(&null), theirs.get(&key).unwrap_or(&null));
            (ours != theirs).then(|| format!("{key} was {ours} and is now {theirs}"))
        })
    }
}

fn check(
    name: &'static str,
    value: f64,
    valid: impl Fn(f64) -> bool,
    range: &'static str,
) -> Result<(), TrainError> {
    match valid(value) {
        true => Ok(()),
        false => Err(TrainError::OutOfRange { name, value, range }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use twins_attack::{Loss, Start};

    use super::*;
    use crate::config::{
        AdversaryConfig, EpsilonSchedule, Method, ProbeConfig, ProtocolConfig, ValidationConfig,
    };
    use crate::objectives::AutoLoraConfig;
    use crate::optimisers::{AwpConfig, GroupsConfig};

    #[test]
    fn defaults_are_valid() {
        for method in Method::ALL {
            TrainConfig::new(method).validate().unwrap();
        }
    }

    #[test]
    fn bad_values_are_named() {
        let config = TrainConfig::default;
        let with_probe = |probe| config().with_tuning(Tuning::ProbeThenFull(probe));
        let with_adamw = |betas, epsilon| config().with_optimiser(OptimiserConfig::AdamW { betas, epsilon });
        let with_adversary = |epsilon, steps, step_size| {
            let adversary = AdversaryConfig { epsilon, steps, step_size, ..AdversaryConfig::default() };
            config().with_adversary(adversary)
        };
        let with_protocol =
            |protocol| config().with_validation(ValidationConfig { protocol, ..ValidationConfig::default() });
        for (config, part) in [
            (config().with_epochs(0), "epochs is 0"),
            (config().with_batch_size(0), "batch size is 0"),
            (config().with_batch_size(1), "batch size is 1"),
            (config().with_accumulate(0), "accumulate is 0"),
            (config().with_learning_rate(0.0), "learning_rate is 0"),
            (config().with_learning_rate(-0.1), "learning_rate is -0.1"),
            (config().with_learning_rate(f64::NAN), "learning_rate is NaN"),
            (config().with_learning_rate(f64::INFINITY), "learning_rate is inf"),
            (config().with_momentum(1.0), "momentum is 1"),
            (config().with_weight_decay(-1.0), "weight_decay is -1"),
            (config().with_lambda(-0.5), "lambda is -0.5"),
            (config().with_beta(f64::NAN), "beta is NaN"),
            (config().with_gradient_clip(0.0), "gradient_clip is 0"),
            (config().with_ema_decay(1.0), "ema_decay is 1"),
            (config().with_ema_decay(0.0), "ema_decay is 0"),
            (config().with_warmup_epochs(-1.0), "warmup_epochs is -1"),
            (config().with_label_smoothing(1.0), "label_smoothing is 1"),
            (config().with_mixup(0.0), "mixup is 0"),
            (
                config().with_epsilon_schedule(EpsilonSchedule::new(1.0).with_clean_epochs(-1.0)),
                "epsilon_schedule.clean_epochs is -1",
            ),
            (config().with_epsilon_schedule(EpsilonSchedule::new(0.0)), "epsilon_schedule.rise_epochs is 0"),
            (with_adamw([1.0, 0.5], 1e-8), "optimiser.betas[0] is 1"),
            (with_adamw([0.5, -0.5], 1e-8), "optimiser.betas[1] is -0.5"),
            (with_adamw([0.5, 0.5], 0.0), "optimiser.epsilon is 0"),
            (
                config().with_groups(GroupsConfig { head_learning_rate: 0.0, ..GroupsConfig::default() }),
                "groups.head_learning_rate is 0",
            ),
            (config().with_early_stopping(0), "early_stopping is 0"),
            (config().with_checkpoint_steps(0), "checkpoint_steps is 0"),
            (
                config()
                    .with_validation(ValidationConfig { fraction: Some(0.0), ..ValidationConfig::default() }),
                "validation.fraction is 0",
            ),
            (
                config().with_validation(ValidationConfig::none()).with_early_stopping(3),
                "early_stopping needs a validation",
            ),
            (
                config().with_validation(ValidationConfig::none()).with_schedule(Schedule::auto_lora()),
                "the schedule robust-accuracy needs a validation",
            ),
            (with_probe(ProbeConfig::new(0)), "tuning.probe_epochs is 0"),
            (with_probe(ProbeConfig::new(1).with_learning_rate(0.0)), "tuning.probe_learning_rate is 0"),
            (
                with_probe(ProbeConfig::new(1).with_schedule(Schedule::Cosine { final_fraction: 2.0 })),
                "the probe (tuning.probe_schedule): schedule.final_fraction is 2",
            ),
            (
                with_probe(ProbeConfig::new(1).with_schedule(Schedule::auto_lora()))
                    .with_validation(ValidationConfig::none()),
                "the probe's schedule robust-accuracy needs a validation",
            ),
            (config().with_awp(AwpConfig::new(0.0)), "awp.gamma is 0"),
            (config().with_awp(AwpConfig::new(-0.01)), "awp.gamma is -0.01"),
            (config().with_awp(AwpConfig::new(1.5)), "awp.gamma is 1.5"),
            (config().with_awp(AwpConfig::new(f64::NAN)), "awp.gamma is NaN"),
            (config().with_auto_lora(AutoLoraConfig::new(0)), "auto_lora.rank is 0"),
            (
                config().with_auto_lora(AutoLoraConfig { divergence: -1.0, ..AutoLoraConfig::default() }),
                "auto_lora.divergence is -1",
            ),
            (
                config().with_auto_lora(AutoLoraConfig { alpha: 0.0, ..AutoLoraConfig::default() }),
                "auto_lora.alpha is 0",
            ),
            (with_adversary(-0.1, 10, 0.1), "-0.1"),
            (with_adversary(f64::NAN, 10, 0.1), "NaN"),
            (with_adversary(8.0, 10, 0.1), "did you mean 8/255?"),
            (with_adversary(0.1, 0, 0.1), "step"),
            (with_adversary(0.1, 10, -0.1), "-0.1"),
            (
                with_protocol(ProtocolConfig { steps: 0, ..ProtocolConfig::default() }),
                "validation.protocol: PGD with 0 steps",
            ),
            (with_protocol(ProtocolConfig { loss: Loss::Kl, ..ProtocolConfig::default() }), "Start::Uniform"),
            (
                config()
                    .with_adversary(AdversaryConfig::default().with_loss(Loss::Kl).with_start(Start::Clean)),
                "Start::Gaussian(0.001)",
            ),
        ] {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn difference_names_the_setting() {
        let config = TrainConfig::default();
        assert_eq!(config.difference(&config), None);
        let difference = config.difference(&config.clone().with_ema_decay(0.9)).unwrap();
        assert_eq!(difference, "ema_decay was null and is now 0.9");
    }

    proptest! {
        #[test]
        fn every_float_survives_json(
            [epsilon, step_size, rate, decay, clip, gamma] in
                prop::array::uniform6(prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO),
            seed: u64,
        ) {
            let adversary = AdversaryConfig { epsilon, step_size, ..AdversaryConfig::default() };
            let config = TrainConfig::new(Method::TwinsTrades)
                .with_adversary(adversary)
                .with_learning_rate(rate)
                .with_weight_decay(decay)
                .with_gradient_clip(clip)
                .with_schedule(Schedule::MultiStep { milestones: vec![2], gamma })
                .with_seed(seed);
            let text = serde_json::to_string_pretty(&config).unwrap();
            let read: TrainConfig = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.difference(&config), None);
            prop_assert_eq!(read, config);
        }
    }
}
