use serde::{Deserialize, Serialize};
use twins_attack::Start;
use twins_data::Augmentation;

use crate::{AdversaryConfig, Method, Schedule, TrainError, Tuning};

/// Configuration of a training.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `method` | twins-at | what is minimised | [`Method`] |
/// | `epochs` | 60 | passes over the training images | ≥ 1 |
/// | `batch_size` | 128 | images per step, both wings together | ≥ 2 |
/// | `learning_rate` | 0.003 | of SGD, before the schedule | > 0 |
/// | `momentum` | 0.9 | of SGD | [0, 1) |
/// | `weight_decay` | 1e-5 | of SGD, on every trained parameter | ≥ 0 |
/// | `lambda` | 1 | weight of the frozen wing's loss | ≥ 0 |
/// | `beta` | 6 | weight of the TRADES divergence | ≥ 0 |
/// | `schedule` | × 0.1 after epochs 30 and 50 | of the learning rate | [`Schedule`] |
/// | `warmup_epochs` | 0 | linear rise of the learning rate at the beginning | ≥ 0 |
/// | `tuning` | full | which part of the model is trained | [`Tuning`] |
/// | `freeze` | none | path prefixes that are never trained, such as `conv1` | |
/// | `gradient_clip` | none | largest norm of the whole gradient | > 0 |
/// | `ema_decay` | none | decay of averaged weights, evaluated beside the raw ones | (0, 1) |
/// | `early_stopping` | none | epochs without a better validation robust accuracy | ≥ 1 |
/// | `adversary` | PGD-10, Linf 8/255, step 2/255, random start | of training | [`AdversaryConfig`] |
/// | `validation` | a tenth of the images, PGD-10 without random start | chooses the best checkpoint | [`ValidationConfig`] |
/// | `augmentation` | none | of the training images | [`Augmentation`] |
/// | `checkpoint_steps` | none | steps between checkpoints within an epoch | ≥ 1 |
/// | `non_finite` | stop | what a NaN or infinite loss or gradient does | [`NonFinite`] |
/// | `seed` | 0 | of order, split, augmentation and random starts | |
///
/// The defaults are those of the paper for CIFAR (TWINS, CVPR 2023, section 4).
///
/// ```
/// use twins_train::{Method, Schedule, TrainConfig};
///
/// # fn main() -> Result<(), twins_train::TrainError> {
/// let config = TrainConfig::new(Method::TwinsAt).with_epochs(10).with_schedule(Schedule::paper(10));
/// config.validate()?;
/// assert!(config.with_batch_size(1).validate().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// What is minimised.
    pub method: Method,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step, both wings together.
    pub batch_size: usize,
    /// Learning rate before the schedule.
    pub learning_rate: f64,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Weight decay of SGD.
    pub weight_decay: f64,
    /// Weight of the frozen wing's loss.
    pub lambda: f64,
    /// Weight of the divergence in TRADES and MART.
    pub beta: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Epochs over which the learning rate rises linearly; a fraction of an epoch is allowed.
    pub warmup_epochs: f64,
    /// Which part of the model is trained.
    pub tuning: Tuning,
    /// Path prefixes of parameters that are never trained; their normalisation runs in evaluation mode.
    pub freeze: Vec<String>,
    /// Largest Euclidean norm of the whole gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_clip: Option<f64>,
    /// Decay per step of the averaged weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Epochs without a better validation robust accuracy after which the training ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<usize>,
    /// Steps between checkpoints within an epoch; there is one at every epoch's end in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_steps: Option<usize>,
    /// What a NaN or infinite loss or gradient does.
    pub non_finite: NonFinite,
    /// Seed of everything random.
    pub seed: u64,
    /// The adversary of training.
    pub adversary: AdversaryConfig,
    /// How the best checkpoint is chosen.
    pub validation: ValidationConfig,
    /// Random changes to the training images.
    pub augmentation: Augmentation,
}

/// The validation split, held out of training, and the attack on it.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `fraction` | 0.1 | of the training images, each class in proportion | (0, 1) |
/// | `adversary` | PGD-10, Linf 8/255, step 2/255, from the clean image | of the robust accuracy | |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidationConfig {
    /// Fraction of the training images.
    pub fraction: f64,
    /// The attack behind the robust accuracy.
    pub adversary: AdversaryConfig,
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self { fraction: 0.1, adversary: AdversaryConfig::default().with_start(Start::Clean) }
    }
}

/// What a loss or gradient that is NaN or infinite does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NonFinite {
    /// The training ends with an error that names the step.
    Stop,
    /// The batch is left out and counted.
    SkipBatch,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            method: Method::TwinsAt,
            epochs: 60,
            batch_size: 128,
            learning_rate: 0.003,
            momentum: 0.9,
            weight_decay: 1e-5,
            lambda: 1.0,
            beta: 6.0,
            schedule: Schedule::paper(60),
            warmup_epochs: 0.0,
            tuning: Tuning::Full,
            freeze: Vec::new(),
            gradient_clip: None,
            ema_decay: None,
            early_stopping: None,
            checkpoint_steps: None,
            non_finite: NonFinite::Stop,
            seed: 0,
            adversary: AdversaryConfig::default(),
            validation: ValidationConfig::default(),
            augmentation: Augmentation::new(),
        }
    }
}

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

setters! {
    /// Sets the passes over the training images.
    with_epochs: epochs: usize,
    /// Sets the images per step.
    with_batch_size: batch_size: usize,
    /// Sets the learning rate before the schedule.
    with_learning_rate: learning_rate: f64,
    /// Sets the momentum.
    with_momentum: momentum: f64,
    /// Sets the weight decay.
    with_weight_decay: weight_decay: f64,
    /// Sets the weight of the frozen wing's loss.
    with_lambda: lambda: f64,
    /// Sets the weight of the TRADES divergence.
    with_beta: beta: f64,
    /// Sets the schedule.
    with_schedule: schedule: Schedule,
    /// Sets the epochs of linear rise.
    with_warmup_epochs: warmup_epochs: f64,
    /// Sets which part of the model is trained.
    with_tuning: tuning: Tuning,
    /// Sets the path prefixes that are never trained.
    with_freeze: freeze: Vec<String>,
    /// Sets the largest norm of the gradient.
    with_gradient_clip: gradient_clip: f64,
    /// Sets the decay of the averaged weights.
    with_ema_decay: ema_decay: f64,
    /// Sets the epochs of patience.
    with_early_stopping: early_stopping: usize,
    /// Sets the steps between checkpoints.
    with_checkpoint_steps: checkpoint_steps: usize,
    /// Sets what a non-finite value does.
    with_non_finite: non_finite: NonFinite,
    /// Sets the seed.
    with_seed: seed: u64,
    /// Sets the adversary of training.
    with_adversary: adversary: AdversaryConfig,
    /// Sets the validation.
    with_validation: validation: ValidationConfig,
    /// Sets the augmentation of the training images.
    with_augmentation: augmentation: Augmentation,
}

impl TrainConfig {
    /// The paper's setting with another method.
    pub fn new(method: Method) -> Self {
        Self { method, ..Self::default() }
    }

    /// Checks every value.
    ///
    /// # Errors
    ///
    /// The first value that is outside its range.
    pub fn validate(&self) -> Result<(), TrainError> {
        if self.epochs == 0 {
            return Err(TrainError::NoEpochs);
        }
        if self.batch_size < 2 {
            return Err(TrainError::BatchSize { size: self.batch_size });
        }
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        check("learning_rate", self.learning_rate, positive, "above 0 and finite")?;
        check("momentum", self.momentum, |value| (0.0..1.0).contains(&value), "at least 0 and below 1")?;
        check("weight_decay", self.weight_decay, not_negative, "at least 0 and finite")?;
        check("lambda", self.lambda, not_negative, "at least 0 and finite")?;
        check("beta", self.beta, not_negative, "at least 0 and finite")?;
        check("warmup_epochs", self.warmup_epochs, not_negative, "at least 0 and finite")?;
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
        if self.tuning == (Tuning::ProbeThenFull { probe_epochs: 0 }) {
            return Err(TrainError::Zero { name: "tuning.probe_epochs" });
        }
        self.schedule.validate()?;
        let fraction = self.validation.fraction;
        check("validation.fraction", fraction, |value| value > 0.0 && value < 1.0, "above 0 and below 1")?;
        self.adversary.build()?;
        self.validation.adversary.build()?;
        Ok(())
    }
}

impl TrainConfig {
    /// The first setting in which another configuration differs, in words.
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
    use super::*;

    #[test]
    fn defaults_are_valid() {
        for method in Method::ALL {
            TrainConfig::new(method).validate().unwrap();
        }
    }

    #[test]
    fn bad_values_are_named() {
        let config = TrainConfig::default;
        let with_adversary = |epsilon, steps, step_size| {
            let adversary = AdversaryConfig { epsilon, steps, step_size, ..AdversaryConfig::default() };
            config().with_adversary(adversary)
        };
        for (config, part) in [
            (config().with_epochs(0), "epochs is 0"),
            (config().with_batch_size(0), "batch size is 0"),
            (config().with_batch_size(1), "batch size is 1"),
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
            (config().with_early_stopping(0), "early_stopping is 0"),
            (config().with_checkpoint_steps(0), "checkpoint_steps is 0"),
            (
                config().with_validation(ValidationConfig { fraction: 0.0, ..ValidationConfig::default() }),
                "validation.fraction is 0",
            ),
            (with_adversary(-0.1, 10, 0.1), "-0.1"),
            (with_adversary(f64::NAN, 10, 0.1), "NaN"),
            (with_adversary(0.1, 0, 0.1), "step"),
            (with_adversary(0.1, 10, -0.1), "-0.1"),
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

    #[test]
    fn survives_json() {
        let config = TrainConfig::new(Method::TwinsTrades).with_gradient_clip(1.0).with_seed(7);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), config);
    }
}
