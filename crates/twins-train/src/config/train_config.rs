use serde::{Deserialize, Serialize};
use twins_attack::Precision;
use twins_data::{Augmentation, Grouping};

use super::adversary::AdversaryConfig;
use super::epsilon_schedule::EpsilonSchedule;
use super::frozen_from::FrozenFrom;
use super::method::Method;
use super::or_none;
use super::protocol::ProtocolConfig;
use super::tuning::Tuning;
use crate::objectives::AutoLoraConfig;
use crate::optimisers::{AwpConfig, GroupsConfig, OptimiserConfig, Schedule};

/// Configuration of a training run.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `method` | twins-at | training objective | [`Method`] |
/// | `epochs` | 60 | passes over the training images | ≥ 1 |
/// | `batch_size` | 128 | largest number of images per step, for both wings together | ≥ 2 |
/// | `drop_last` | false | whether an epoch consists of full batches only; otherwise the images are divided evenly | |
/// | `accumulate` | 1 | number of micro-batches into which a step's images are divided | ≥ 1; every wing has at least [`MIN_IMAGES_PER_WING`](crate::MIN_IMAGES_PER_WING) images in every micro-batch on every device, or 2 without batch statistics |
/// | `learning_rate` | 0.003 | learning rate before the schedule | > 0 |
/// | `momentum` | 0.9 | momentum of SGD | [0, 1) |
/// | `weight_decay` | 1e-5 | weight decay, of the parameters that `groups` selects | ≥ 0 |
/// | `lambda` | 1 | weight of the frozen wing's loss | ≥ 0 |
/// | `beta` | 6 | weight of the divergence of trades, twins-trades and mart | ≥ 0 |
/// | `schedule` | × 0.1 after epochs 30 and 50; [`with_epochs`](Self::with_epochs), [`with_tuning`](Self::with_tuning) and [`from_file`](Self::from_file) move them to half and five sixths of the epochs | schedule of the learning rate | [`Schedule`] |
/// | `warmup_epochs` | 0 | epochs over which the learning rate rises linearly at the beginning | ≥ 0 |
/// | `frozen_from` | weights | source of the frozen wing at the start | [`FrozenFrom`] |
/// | `tuning` | full | which parts of the model are trained | [`Tuning`] |
/// | `freeze` | none | path prefixes of parameters that are never trained, such as `conv1` | |
/// | `gradient_clip` | none | largest Euclidean norm of the whole gradient | > 0 |
/// | `ema_decay` | none | decay of the exponential moving average of the weights, which is validated in addition to the raw weights | (0, 1) |
/// | `early_stopping` | none | stops training after this many epochs without a better validation robust accuracy | ≥ 1 |
/// | `adversary` | PGD-10, Linf 8/255, step 2/255, random start | training adversary | [`AdversaryConfig`] |
/// | `precision` | f32 | precision of the training passes; weights, statistics and losses stay in f32 | f32, bf16 |
/// | `attack_precision` | f32 | precision of the training adversary's passes | [`Precision`] |
/// | `validation` | a tenth of the images, PGD-10 on the cross-entropy from the clean image, within the ball of the training adversary | held-out images and the protocol that selects the best checkpoint | [`ValidationConfig`] |
/// | `augmentation` | none | augmentation of the training images | [`Augmentation`] |
/// | `optimiser` | sgd | optimiser | [`OptimiserConfig`] |
/// | `groups` | none | separate learning rate of the head; parameters without weight decay | [`GroupsConfig`] |
/// | `label_smoothing` | 0 | probability that the target of every cross-entropy spreads over all classes | [0, 1) |
/// | `mixup` | none | alpha of mixup's Beta distribution; images are mixed after the attack | > 0 |
/// | `epsilon_schedule` | none | warm-up of the training adversary's epsilon | [`EpsilonSchedule`] |
/// | `awp` | none | adversarial weight perturbation, for any method | [`AwpConfig`] |
/// | `auto_lora` | rank 8, divergence 6, alpha 1 | settings of the method `auto-lora`; other methods ignore them | [`AutoLoraConfig`] |
/// | `checkpoint_steps` | none | steps between checkpoints within an epoch | ≥ 1 |
/// | `non_finite` | stop | what happens when a loss or gradient is NaN or infinite | [`NonFinite`] |
/// | `sync_statistics` | false | whether the running statistics of several devices are averaged after every step | |
/// | `seed` | 0 | seed of all random draws, such as order, augmentation and random starts | |
///
/// Except for the validation, the defaults are those of the paper for CIFAR (TWINS, CVPR 2023, section 4). With two wings, a learning rate
/// above about 0.03 needs `gradient_clip`: the frozen wing normalises with constants, so its activations and gradients grow with the
/// weights until they are no longer finite (docs/study).
///
/// ```
/// use twins_train::{Method, Schedule, TrainConfig};
///
/// # fn main() -> Result<(), twins_train::TrainError> {
/// let config = TrainConfig::new(Method::TwinsAt).with_epochs(12);
/// assert_eq!(config.schedule, Schedule::MultiStep { milestones: vec![6, 10], gamma: 0.1 });
/// config.validate()?;
/// assert!(config.with_batch_size(1).validate().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The training method.
    pub method: Method,
    /// The number of passes over the training images.
    pub epochs: usize,
    /// The largest number of images per step, for both wings together. An epoch of n images has ⌈n / `batch_size`⌉ steps
    /// whose sizes differ by at most one, unless `drop_last` is set.
    pub batch_size: usize,
    /// Whether an epoch consists of full batches only: ⌊n / `batch_size`⌋ of them. The remaining images, which are different
    /// ones in every epoch, are not used in that epoch.
    pub drop_last: bool,
    /// The number of micro-batches into which each device divides its images of a step (gradient accumulation).
    /// Micro-batches are computed one after the other, which needs less memory. The batch statistics, the halves of the
    /// two wings, and the weight and the pairs of mixup are those of a micro-batch, and layers such as dropout draw for each one.
    /// Otherwise the result is the same up to rounding.
    pub accumulate: usize,
    /// Learning rate before the schedule.
    pub learning_rate: f64,
    /// The momentum of SGD.
    pub momentum: f64,
    /// The weight decay.
    pub weight_decay: f64,
    /// Weight of the frozen wing's loss.
    pub lambda: f64,
    /// Weight of the divergence in TRADES and MART.
    pub beta: f64,
    /// The learning-rate schedule.
    pub schedule: Schedule,
    /// Epochs over which the learning rate rises linearly; a fraction of an epoch is allowed.
    pub warmup_epochs: f64,
    /// The source of the frozen wing at the start. A resumed run keeps the frozen wing of its checkpoint.
    pub frozen_from: FrozenFrom,
    /// Which parts of the model are trained.
    pub tuning: Tuning,
    /// Path prefixes of parameters that are never trained. Normalisation layers under these prefixes run in evaluation
    /// mode.
    pub freeze: Vec<String>,
    /// Largest Euclidean norm of the whole gradient.
    #[cfg_attr(feature = "schema", schemars(schema_with = "or_none::schema"))]
    #[serde(with = "or_none")]
    pub gradient_clip: Option<f64>,
    /// Decay per step of the exponential moving average of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Number of epochs without a better validation robust accuracy after which training stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<usize>,
    /// Number of steps between checkpoints within an epoch. A checkpoint is always written at the end of an epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_steps: Option<usize>,
    /// What happens when a loss or gradient is NaN or infinite.
    pub non_finite: NonFinite,
    /// Whether the running statistics of several devices are averaged after every step. If not, each device has its own,
    /// and the model has those of the main device. Batch statistics are computed separately on each device in both cases.
    pub sync_statistics: bool,
    /// The precision of the training passes ([`MixedPrecision`](crate::MixedPrecision)). The trained weights, batch
    /// normalisation, the loss and the optimiser remain in single precision.
    pub precision: Precision,
    /// The precision of the training adversary's passes, which use a copy of the model that is cast once per step. The
    /// adversary's iterates and the validation remain in single precision.
    pub attack_precision: Precision,
    /// The seed of all random draws.
    pub seed: u64,
    /// The training adversary.
    pub adversary: AdversaryConfig,
    /// The validation, which selects the best checkpoint.
    pub validation: ValidationConfig,
    /// Random changes to the training images.
    pub augmentation: Augmentation,
    /// The optimiser.
    pub optimiser: OptimiserConfig,
    /// Parameter groups with settings of their own.
    pub groups: GroupsConfig,
    /// Probability that the target of every cross-entropy spreads over all classes ([`Targets`](crate::Targets)). The adversary
    /// uses the labels without smoothing.
    pub label_smoothing: f64,
    /// Alpha of mixup: an image has the weight max(w, 1 − w), where w is drawn from Beta(alpha, alpha) for each micro-batch.
    /// As in interpolated adversarial training (Lamb et al., AISec 2019), mixing follows the attack. Clean images,
    /// adversarial examples and labels are mixed with the same weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixup: Option<f64>,
    /// The warm-up of the training adversary's epsilon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon_schedule: Option<EpsilonSchedule>,
    /// Adversarial weight perturbation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awp: Option<AwpConfig>,
    /// The settings of the method `auto-lora`; other methods ignore them.
    pub auto_lora: AutoLoraConfig,
}

/// The validation split, which is held out of training, and the protocol that measures robust accuracy on it.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `fraction` | 0.1 | fraction of the training images to hold out, stratified by class | (0, 1), or none |
/// | `groups` | none | images that must be on the same side of the split | [`Grouping`]: `none`, `prefix:TEXT` |
/// | `seed` | 0 | seed that selects the held-out images, independent of the training's seed | |
/// | `protocol` | PGD-10 on the cross-entropy from the clean image, within the ball of the training adversary | protocol that measures robust accuracy | [`ProtocolConfig`] |
///
/// Without a fraction, no images are held out, as in the published settings. There is then no validation, and the result is the
/// last weights, or their moving average with `ema_decay`. A configuration file specifies this by `validation = "none"`, or
/// by `fraction = "none"` in the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(!remote))]
#[serde(remote = "Self", default, deny_unknown_fields)]
pub struct ValidationConfig {
    /// Fraction of the training images to hold out, or none.
    #[cfg_attr(feature = "schema", schemars(schema_with = "or_none::schema"))]
    #[serde(with = "or_none")]
    pub fraction: Option<f64>,
    /// Groups of images that must be on the same side of the split, such as the frames of one recording. With `prefix:_`, a group
    /// consists of the images of a class whose file names are equal up to the first `_`. A random split puts frames of the same recording
    /// on both sides, and the accuracy on it overestimates the accuracy on new recordings. Every class holds out whole groups until
    /// `fraction` is reached or exceeded ([`Grouping::split`] has the formula). [`split`](Self::split) returns the resulting images.
    pub groups: Grouping,
    /// The seed that selects the held-out images. It is separate from the training's seed, so that runs with different
    /// seeds have the same validation images, and the variance between them is that of training alone.
    pub seed: u64,
    /// How robust accuracy is measured; see [`TrainConfig::validation_protocol`].
    pub protocol: ProtocolConfig,
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self { fraction: Some(0.1), groups: Grouping::None, seed: 0, protocol: ProtocolConfig::default() }
    }
}

impl ValidationConfig {
    /// Creates a configuration that holds no images out. The result is then the last weights, or their moving average
    /// with `ema_decay`.
    pub fn none() -> Self {
        Self { fraction: None, ..Self::default() }
    }
}

/// What happens when a loss or gradient is NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NonFinite {
    /// Training ends with an error that names the step.
    Stop,
    /// The batch is skipped and counted. Weights, running statistics, the optimiser's state and averaged weights remain
    /// unchanged.
    SkipBatch,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            method: Method::TwinsAt,
            epochs: 60,
            batch_size: 128,
            drop_last: false,
            accumulate: 1,
            learning_rate: 0.003,
            momentum: 0.9,
            weight_decay: 1e-5,
            lambda: 1.0,
            beta: 6.0,
            schedule: Schedule::paper(60),
            warmup_epochs: 0.0,
            frozen_from: FrozenFrom::Weights,
            tuning: Tuning::Full,
            freeze: Vec::new(),
            gradient_clip: None,
            ema_decay: None,
            early_stopping: None,
            checkpoint_steps: None,
            non_finite: NonFinite::Stop,
            sync_statistics: false,
            precision: Precision::F32,
            attack_precision: Precision::F32,
            seed: 0,
            adversary: AdversaryConfig::default(),
            validation: ValidationConfig::default(),
            augmentation: Augmentation::new(),
            optimiser: OptimiserConfig::Sgd,
            groups: GroupsConfig::default(),
            label_smoothing: 0.0,
            mixup: None,
            epsilon_schedule: None,
            awp: None,
            auto_lora: AutoLoraConfig::default(),
        }
    }
}

impl TrainConfig {
    /// Creates a configuration with the given method and otherwise the paper's settings. For the schedule of AutoLoRa,
    /// see [`Schedule::auto_lora`].
    pub fn new(method: Method) -> Self {
        Self { method, ..Self::default() }
    }
}
