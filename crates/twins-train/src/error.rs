use std::path::{Path, PathBuf};

use twins_attack::{AttackError, Precision};
use twins_data::DataError;
use twins_files::one_line;
use twins_nn::{HeadError, StatisticsError, Wing};

use crate::config::{FrozenFrom, Method, Preset};
use crate::metrics::ObserverKind;

/// Errors in configuring, running or resuming a training run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The name of a method is unknown.
    #[error("unknown method \"{name}\"; known are {}", Method::ALL.map(Method::name).join(", "))]
    UnknownMethod {
        /// The name given.
        name: String,
    },
    /// The name of a preset is unknown.
    #[error("unknown preset \"{name}\"; known are {}", Preset::ALL.map(Preset::name).join(", "))]
    UnknownPreset {
        /// The name given.
        name: String,
    },
    /// The source of the frozen wing is unknown.
    #[error("unknown start of the frozen wing \"{name}\"; known are {}", FrozenFrom::ALL.map(FrozenFrom::name).join(", "))]
    UnknownFrozenFrom {
        /// The name given.
        name: String,
    },
    /// The name of an observer is unknown.
    #[error("unknown observer \"{name}\"; known are {}", ObserverKind::ALL.map(ObserverKind::name).join(", "))]
    UnknownObserver {
        /// The name given.
        name: String,
    },
    /// The number of epochs is 0.
    #[error("epochs is 0; train for at least one epoch")]
    NoEpochs,
    /// The batch size is too small to split a batch or to compute batch statistics.
    #[error(
        "batch size is {size}; use at least 2: batch statistics need two samples, and a two-wing method splits \
         every batch between the frozen and the adaptive wing"
    )]
    BatchSize {
        /// The batch size given.
        size: usize,
    },
    /// A wing sees too few images in a part of a step, that is, in a micro-batch on one device.
    #[error(
        "batch_size {batch_size} with accumulate {accumulate} on {} gives {} for each of {}, but at least {} are needed; {}",
        count(*devices, "device"),
        count(batch_size / devices.saturating_mul(*accumulate) / wings, "image"),
        count(*wings, "wing"),
        smallest_part / wings,
        larger_parts(*batch_size, *accumulate, *devices, *smallest_part)
    )]
    SmallParts {
        /// The configured batch size.
        batch_size: usize,
        /// The number of micro-batches on each device.
        accumulate: usize,
        /// The number of devices.
        devices: usize,
        /// The number of wings that share a part.
        wings: usize,
        /// The smallest number of images that a part may have.
        smallest_part: usize,
    },
    /// A wing sees too few images in a batch, because the data set is too small.
    #[error(
        "the training images are divided into batches of at most {batch_size} (batch_size), of which one has {images}: {} for \
         each of {}, but at least {} are needed; give more images, raise batch_size so that they make one batch, or set drop_last",
        count(images / wings, "image"),
        count(*wings, "wing"),
        smallest_part / wings
    )]
    SmallBatch {
        /// The number of images in the smallest batch.
        images: usize,
        /// The configured batch size.
        batch_size: usize,
        /// The number of wings that share a batch.
        wings: usize,
        /// The smallest number of images that a batch may have.
        smallest_part: usize,
    },
    /// `drop_last` is set, but there are fewer images than a batch has.
    #[error(
        "drop_last leaves no batch: there are {images} images to train on and batch_size is {batch_size}; lower batch_size, or \
         leave drop_last out"
    )]
    NoFullBatch {
        /// The number of images to train on.
        images: usize,
        /// The batch size.
        batch_size: usize,
    },
    /// The list of devices is empty.
    #[error("the list of devices is empty; give at least one, the first of which holds the model")]
    NoDevices,
    /// A computation, or a device's part of it, panicked: memory was exhausted, the device was lost, or the model, the
    /// objective or the data set panicked.
    #[error(
        "{} failed {work}: {message}; {remedy}; last good checkpoint: {}",
        if *devices == 1 { "the computation".to_owned() } else { format!("device number {place} of {devices}") },
        checkpoint.as_ref().map_or("none".to_owned(), |path| path.display().to_string())
    )]
    Device {
        /// The position of the device in the list, from 1.
        place: usize,
        /// The number of devices.
        devices: usize,
        /// What the device was doing, in words.
        work: String,
        /// The message of the panic.
        message: String,
        /// What to do, in words. If memory was exhausted, this names smaller sizes.
        remedy: String,
        /// The last usable checkpoint, if there is one.
        checkpoint: Option<PathBuf>,
    },
    /// A number is outside its range.
    #[error("{name} is {value}; it must be {range}")]
    OutOfRange {
        /// The name of the setting.
        name: &'static str,
        /// The value given.
        value: f64,
        /// The range in words.
        range: &'static str,
    },
    /// A schedule's factor is outside its range.
    #[error("{name} is {value}; it must be above 0 (final_fraction: at least 0) and at most 1")]
    ScheduleFactor {
        /// The name of the setting.
        name: &'static str,
        /// The value given.
        value: f64,
    },
    /// Milestones are not in ascending order.
    #[error("schedule.milestones are {milestones:?}; they must ascend without repetition")]
    Milestones {
        /// The milestones given.
        milestones: Vec<usize>,
    },
    /// The schedule of the probe is invalid.
    #[error("the probe (tuning.probe_schedule): {problem}")]
    ProbeSchedule {
        /// What is wrong with it.
        problem: Box<TrainError>,
    },
    /// A patience is zero epochs.
    #[error("{name} is 0; give at least 1 epoch, or leave it out")]
    NoPatience {
        /// The name of the setting.
        name: &'static str,
    },
    /// A count is zero.
    #[error("{name} is 0; give at least 1, or leave it out")]
    Zero {
        /// The name of the setting.
        name: &'static str,
    },
    /// The adversary's configuration, or the adversary itself, failed.
    #[error("the adversary: {0}")]
    Attack(#[from] AttackError),
    /// The validation's protocol has an invalid setting.
    #[error("validation.protocol: {0}")]
    Protocol(AttackError),
    /// The data could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The validation split would be empty.
    #[error(
        "the validation split of {fraction} of {images} images is empty; raise validation.fraction or give more \
         images: the best checkpoint is chosen on it"
    )]
    EmptyValidation {
        /// The configured fraction.
        fraction: f64,
        /// The number of images in the data set.
        images: usize,
    },
    /// The separate data set for validation has no images.
    #[error("the validation set has no images; give one that has, or hold images out (validation.fraction)")]
    EmptyValidationSet,
    /// A setting depends on the accuracy on the validation split, but no images are held out.
    #[error(
        "{setting} needs a validation: it follows the robust accuracy on held-out images, and validation is none; give \
         validation.fraction, such as 0.1, or choose another setting"
    )]
    NeedsValidation {
        /// The name of the setting.
        setting: &'static str,
    },
    /// Too few images are left to train on.
    #[error("{images} images are left to train on after the validation split; at least 2 are needed")]
    TooFewImages {
        /// The number of images left.
        images: usize,
    },
    /// The data set has labels that the model has no class for.
    #[error(
        "the data have labels up to {label} but the model has {classes} classes; give the model a head for {} classes",
        label + 1
    )]
    LabelOutOfRange {
        /// The largest label.
        label: usize,
        /// The number of the model's classes.
        classes: usize,
    },
    /// The model has no parameters, and therefore no device.
    #[error("the model has no parameters; there is nothing to train")]
    NoParameters,
    /// A two-wing objective was used with a model that has no two-wing layers.
    #[error(
        "the objective trains two wings, which are two sets of batch-normalisation weights and statistics, and the model has \
         no TwinsBatchNorm layer: replace its batch normalisation by such layers; a model without batch normalisation, such \
         as ConvNeXt with its layer normalisation, has nothing to split, so use a method with one wing: {}",
        one_wing_methods()
    )]
    NoTwinsLayers,
    /// The training precision is f16, in which small gradients would become zero.
    #[error(
        "precision = \"f16\": gradients below 6e-8 would vanish, since losses are not scaled; train with `bf16`, which has the \
         range of f32, and leave f16 to `attack_precision`"
    )]
    TrainingInF16,
    /// Half precision was used for a model with Burn's own batch normalisation.
    #[error(
        "precision = \"{precision}\": the layer \"{layer}\" is Burn's BatchNorm, which would keep its statistics in {precision}; \
         use TwinsBatchNorm in its place, which keeps them in f32 and is the same layer otherwise, or train in f32"
    )]
    StockBatchNorm {
        /// The layer's path.
        layer: String,
        /// The configured precision.
        precision: Precision,
    },
    /// A training step was made on a device without autodiff.
    #[error(
        "{what} is on a device without autodiff, where layers use running statistics and nothing can be differentiated; \
         make it on `device.autodiff()`, or call `model.train()` and `Tensor::from_inner`"
    )]
    NoAutodiff {
        /// Which model or tensor is on that device.
        what: &'static str,
    },
    /// A layer uses another wing than the objective needs.
    #[error(
        "the layer \"{layer}\" runs Wing::{found:?}, and the objective needs Wing::{expected:?}; \
         call `model.with_wing(objective.wing())` before the step"
    )]
    OtherWing {
        /// The path of the layer.
        layer: String,
        /// The wing that the layer uses.
        found: Wing,
        /// The objective's wing.
        expected: Wing,
    },
    /// The rank of AutoLoRa's branch is larger than the smaller side of a weight's matrix.
    #[error(
        "auto_lora.rank is {rank}, but \"{path}\" is a {} × {} matrix; use a rank of at most {}",
        matrix[0], matrix[1], matrix[0].min(matrix[1])
    )]
    BranchRank {
        /// The rank given.
        rank: usize,
        /// The path of the weight.
        path: String,
        /// The numbers of rows and columns: the size of the first axis, and the product of all others.
        matrix: [usize; 2],
    },
    /// AutoLoRa was used with a model that has no backbone to train.
    #[error(
        "the model has no weight for AutoLoRa's branch: there must be a trained convolution or linear layer before the \
         head; freeze less, or use the method \"trades\""
    )]
    NothingToBranch,
    /// A custom objective failed to create its parameters or to prepare for an epoch.
    #[error("the training objective: {source}")]
    Objective {
        /// The objective's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A custom observer failed.
    #[error("an observer of the training: {source}")]
    Observer {
        /// The observer's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A loss, a gradient or a weight is NaN or infinite.
    #[error(
        "{what} at step {step} of epoch {epoch} (learning rate {learning_rate}): {origin}; lower the learning rate, clip \
         gradients (gradient_clip), or set non_finite = \"skip-batch\"; last good checkpoint: {}",
        checkpoint.as_ref().map_or("none".to_owned(), |path| path.display().to_string())
    )]
    NonFinite {
        /// Which value is not finite.
        what: String,
        /// The first weight or gradient that is not finite, in words, or the statement that all of them are finite.
        origin: String,
        /// The epoch, from 1.
        epoch: usize,
        /// The step within the epoch, from 1.
        step: usize,
        /// The learning rate of the step.
        learning_rate: f64,
        /// The last usable checkpoint, if there is one.
        checkpoint: Option<PathBuf>,
    },
    /// The run directory already contains a run.
    #[error(
        "{} holds another run ({found}); choose another directory, or say that it is to be resumed or overwritten", path.display()
    )]
    RunExists {
        /// The directory.
        path: PathBuf,
        /// What was found in it.
        found: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}{}", path.display(), remedy(source))]
    Io {
        /// The action that failed, such as `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The weights do not fit the model.
    #[error(
        "the weights do not fit the model: {}; use the model that they were saved from",
        one_line(problem)
    )]
    WeightsMismatch {
        /// The first problem found.
        problem: String,
    },
    /// The model to train has running statistics that no data can produce.
    #[error("the model cannot be trained: {0}")]
    Statistics(#[from] StatisticsError),
    /// A checkpoint is truncated, modified or of another kind.
    #[error("{} is not a usable checkpoint: {}", path.display(), one_line(problem))]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The run in the directory has another configuration.
    #[error(
        "{} holds a run with another configuration: {}; resume it with its own (more epochs are allowed), or overwrite it",
        path.display(), one_line(difference)
    )]
    OtherConfig {
        /// The directory.
        path: PathBuf,
        /// The first setting that differs.
        difference: String,
    },
    /// The checkpoint was made with other training data.
    #[error(
        "the checkpoint was made with other training data (labels, number of images or validation split differ); \
         resume with the same data, or overwrite the run"
    )]
    OtherData,
    /// A configuration file cannot be used.
    #[error("{}: {}", path.display(), one_line(problem))]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No parameter has a path prefix that is to be frozen.
    #[error("freeze names \"{prefix}\", under which the model has no parameter; it has {}", known.join(", "))]
    NothingToFreeze {
        /// The prefix given.
        prefix: String,
        /// The layers of the model.
        known: Vec<String>,
    },
    /// A setting needs the model's head, such as a linear probe or AutoLoRa, but the model does not name its head.
    #[error("{0}")]
    Head(#[from] HeadError),
    /// The model names a head that does not exist in it.
    #[error(
        "the model names \"{path}\" as its head (ImageClassifier::head), under which it has no parameter; it has {}",
        known.join(", ")
    )]
    NoSuchHead {
        /// The path that the model gave.
        path: String,
        /// The layers of the model.
        known: Vec<String>,
    },
    /// All parameters are frozen, or all those of the head, which a probe trains.
    #[error(
        "nothing is left to train: every parameter is frozen, or the whole head, which a probe trains; freeze less"
    )]
    NothingToTrain,
}

impl TrainError {
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// Adds the checkpoint to resume from to a [`TrainError::Device`].
    pub(crate) fn with_checkpoint(mut self, newest: Option<PathBuf>) -> Self {
        if let Self::Device { checkpoint, .. } = &mut self {
            *checkpoint = newest;
        }
        self
    }
}

/// Formats a number of things, with the plural where needed.
fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Suggests settings with which every part of a step has at least `smallest` images.
fn larger_parts(batch_size: usize, accumulate: usize, devices: usize, smallest: usize) -> String {
    let most = |others: usize| batch_size / others / smallest;
    let mut ways =
        vec![format!("raise batch_size to {}", smallest.saturating_mul(accumulate).saturating_mul(devices))];
    if accumulate > 1 && most(devices) >= 1 {
        ways.push(format!("lower accumulate to {}", most(devices)));
    }
    if devices > 1 && most(accumulate) >= 1 {
        ways.push(format!("use at most {} of the devices", most(accumulate)));
    }
    ways.join(", or ")
}

/// Suggests what to do about an error of the operating system; empty if nothing is known.
fn remedy(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "; make room (or raise the limit) and resume the run: the files written before are whole"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; give a directory that this user may write to"
        }
        _ => "",
    }
}

fn one_wing_methods() -> String {
    let methods = Method::ALL.into_iter().filter(|method| !method.is_two_wing());
    methods.map(Method::name).collect::<Vec<_>>().join(", ")
}
