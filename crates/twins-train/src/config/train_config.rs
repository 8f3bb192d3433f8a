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

/// Configuration of a training.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `method` | twins-at | what is minimised | [`Method`] |
/// | `epochs` | 60 | passes over the training images | ≥ 1 |
/// | `batch_size` | 128 | largest number of images per step, both wings together | ≥ 2 |
/// | `drop_last` | false | whether an epoch has full batches only; otherwise it is divided evenly | |
/// | `accumulate` | 1 | micro-batches that a step's images are computed in | ≥ 1; every wing of every part has at least [`MIN_IMAGES_PER_WING`](crate::MIN_IMAGES_PER_WING) images |
/// | `learning_rate` | 0.003 | of SGD, before the schedule | > 0 |
/// | `momentum` | 0.9 | of SGD | [0, 1) |
/// | `weight_decay` | 1e-5 | of SGD, on every trained parameter | ≥ 0 |
/// | `lambda` | 1 | weight of the frozen wing's loss | ≥ 0 |
/// | `beta` | 6 | weight of the TRADES divergence | ≥ 0 |
/// | `schedule` | × 0.1 after epochs 30 and 50 | of the learning rate | [`Schedule`] |
/// | `warmup_epochs` | 0 | linear rise of the learning rate at the beginning | ≥ 0 |
/// | `frozen_from` | weights | what the frozen wing starts from | [`FrozenFrom`] |
/// | `tuning` | full | which part of the model is trained | [`Tuning`] |
/// | `freeze` | none | path prefixes that are never trained, such as `conv1` | |
/// | `gradient_clip` | none | largest norm of the whole gradient | > 0 |
/// | `ema_decay` | none | decay of averaged weights, evaluated beside the raw ones | (0, 1) |
/// | `early_stopping` | none | epochs without a better validation robust accuracy | ≥ 1 |
/// | `adversary` | PGD-10, Linf 8/255, step 2/255, random start | of training | [`AdversaryConfig`] |
/// | `precision` | f32 | of the training passes; weights, statistics and losses stay in f32 | f32, bf16 |
/// | `attack_precision` | f32 | of the passes of training's adversary | [`Precision`] |
/// | `validation` | a tenth of the images, PGD-10 on the cross-entropy from the clean image, within the adversary's ball | chooses the best checkpoint | [`ValidationConfig`] |
/// | `augmentation` | none | of the training images | [`Augmentation`] |
/// | `optimiser` | sgd | how gradients change the weights | [`OptimiserConfig`] |
/// | `groups` | none | another learning rate of the head, parameters without weight decay | [`GroupsConfig`] |
/// | `label_smoothing` | 0 | probability that every cross-entropy's target spreads over all classes | [0, 1) |
/// | `mixup` | none | alpha of mixup's Beta distribution; images are mixed after the attack | > 0 |
/// | `epsilon_schedule` | none | rise of the training adversary's epsilon | [`EpsilonSchedule`] |
/// | `awp` | none | adversarial weight perturbation, with any method | [`AwpConfig`] |
/// | `auto_lora` | rank 8, divergence 6, alpha 1 | of the method `auto-lora` alone | [`AutoLoraConfig`] |
/// | `checkpoint_steps` | none | steps between checkpoints within an epoch | ≥ 1 |
/// | `non_finite` | stop | what a NaN or infinite loss or gradient does | [`NonFinite`] |
/// | `sync_statistics` | false | whether the running statistics of several devices are averaged after every step | |
/// | `seed` | 0 | of order, augmentation and random starts | |
///
/// The defaults are those of the paper for CIFAR (TWINS, CVPR 2023, section 4), but for the validation. With two wings, a learning rate above
/// about 0.03 needs `gradient_clip`: the frozen wing normalises with constants, so that its activations and gradients grow with the weights
/// until nothing is finite (docs/study).
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
    /// The largest number of images per step, both wings together. An epoch of n images has ⌈n / `batch_size`⌉ steps whose
    /// sizes differ by at most one, unless `drop_last` is set.
    pub batch_size: usize,
    /// Whether an epoch has full batches only: ⌊n / `batch_size`⌋ of them. The images that are left over, other ones in every
    /// epoch, are not used in that epoch.
    pub drop_last: bool,
    /// Micro-batches that a step's images are computed in, one after the other on each device: less memory, the same step
    /// but for batch normalisation, whose statistics and wings' halves are a micro-batch's.
    pub accumulate: usize,
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
    /// What the frozen wing starts from; a run that is resumed keeps its own.
    pub frozen_from: FrozenFrom,
    /// Which part of the model is trained.
    pub tuning: Tuning,
    /// Path prefixes of parameters that are never trained; their normalisation runs in evaluation mode.
    pub freeze: Vec<String>,
    /// Largest Euclidean norm of the whole gradient.
    #[serde(with = "or_none")]
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
    /// Whether the running statistics of several devices are averaged after every step. Each device has its own otherwise,
    /// and the main one's are the model's. The statistics of a batch are each device's own in any case.
    pub sync_statistics: bool,
    /// What the training passes are computed in ([`MixedPrecision`](crate::MixedPrecision)): the weights that are trained, batch
    /// normalisation, the loss and the optimiser stay in single precision.
    pub precision: Precision,
    /// What the passes of training's adversary are computed in, by a copy of the model that is cast once per step. Its
    /// iterates and the validation stay in single precision.
    pub attack_precision: Precision,
    /// Seed of everything random.
    pub seed: u64,
    /// The adversary of training.
    pub adversary: AdversaryConfig,
    /// How the best checkpoint is chosen.
    pub validation: ValidationConfig,
    /// Random changes to the training images.
    pub augmentation: Augmentation,
    /// How gradients change the weights.
    pub optimiser: OptimiserConfig,
    /// Parameters that are trained with other settings than the rest.
    pub groups: GroupsConfig,
    /// Probability that the target of every cross-entropy spreads over all classes ([`Targets`](crate::Targets)). The adversary
    /// attacks the labels themselves.
    pub label_smoothing: f64,
    /// Both parameters of the Beta distribution of mixup. As in interpolated adversarial training (Lamb et al., AISec 2019), images are
    /// mixed after the attack, clean and adversarial ones alike, and so are their labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixup: Option<f64>,
    /// Rise of the training adversary's epsilon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon_schedule: Option<EpsilonSchedule>,
    /// Adversarial weight perturbation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awp: Option<AwpConfig>,
    /// The branch of the method `auto-lora`; others ignore it.
    pub auto_lora: AutoLoraConfig,
}

/// The validation split, held out of training, and how robust accuracy is measured on it.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `fraction` | 0.1 | of the training images, each class in proportion | (0, 1), or none |
/// | `groups` | none | images that stay together, in training or in validation | [`Grouping`]: `none`, `prefix:TEXT` |
/// | `seed` | 0 | which images are held out; the training's seed has no influence | |
/// | `protocol` | PGD-10 on the cross-entropy from the clean image, within the training adversary's ball | of the robust accuracy | [`ProtocolConfig`] |
///
/// Without a fraction no images are held out, as in the published settings: nothing is validated, and the last checkpoint is
/// the result. A file says `validation = "none"`, or `fraction = "none"` in the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", default, deny_unknown_fields)]
pub struct ValidationConfig {
    /// Fraction of the training images; `None` to hold none out.
    #[serde(with = "or_none")]
    pub fraction: Option<f64>,
    /// Images that stay together, such as the frames of one recording: with `prefix:_`, the images of a class whose file names are
    /// equal up to the first `_`. A random split puts frames of a recording on both sides, and its accuracy then overestimates that
    /// on new recordings. Every class holds out whole groups until `fraction` is reached or passed ([`Grouping::split`] has the formula);
    /// [`split`](Self::split) says which images these are.
    pub groups: Grouping,
    /// Chooses the images. It is not the seed of the training, so that trainings with several seeds share their validation
    /// images, and the variance between them is that of the training.
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
    /// No images are held out, and the last checkpoint is the result.
    pub fn none() -> Self {
        Self { fraction: None, ..Self::default() }
    }
}

/// What a loss or gradient that is NaN or infinite does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NonFinite {
    /// The training ends with an error that names the step.
    Stop,
    /// The batch is left out and counted: weights, running statistics, momentum and averages are what they were.
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
    /// The paper's setting with another method. AutoLoRa's own schedule is [`Schedule::auto_lora`].
    pub fn new(method: Method) -> Self {
        Self { method, ..Self::default() }
    }
}
