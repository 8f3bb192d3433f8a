use std::path::{Path, PathBuf};

use twins_attack::{AttackError, Precision};
use twins_data::DataError;
use twins_nn::{HeadError, StatisticsError, Wing};

use crate::config::{FrozenFrom, Method, Preset};
use crate::metrics::ObserverKind;

/// What can go wrong in configuring, running or resuming a training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A method's name is not known.
    #[error("unknown method \"{name}\"; known are {}", Method::ALL.map(Method::name).join(", "))]
    UnknownMethod {
        /// The name given.
        name: String,
    },
    /// A preset's name is not known.
    #[error("unknown preset \"{name}\"; known are {}", Preset::ALL.map(Preset::name).join(", "))]
    UnknownPreset {
        /// The name given.
        name: String,
    },
    /// A start of the frozen wing is not known.
    #[error("unknown start of the frozen wing \"{name}\"; known are {}", FrozenFrom::ALL.map(FrozenFrom::name).join(", "))]
    UnknownFrozenFrom {
        /// The name given.
        name: String,
    },
    /// An observer's name is not known.
    #[error("unknown observer \"{name}\"; known are {}", ObserverKind::ALL.map(ObserverKind::name).join(", "))]
    UnknownObserver {
        /// The name given.
        name: String,
    },
    /// There is nothing to do.
    #[error("epochs is 0; train for at least one epoch")]
    NoEpochs,
    /// The batch cannot be split, or has no statistics.
    #[error(
        "batch size is {size}; use at least 2: batch statistics need two samples, and a two-wing method splits \
         every batch between the frozen and the adaptive wing"
    )]
    BatchSize {
        /// The batch size given.
        size: usize,
    },
    /// Parts of a step, the micro-batches of a device, in which a wing sees too few images.
    #[error(
        "batch_size {batch_size} with accumulate {accumulate} on {} gives {} for each of {}, but at least {} are needed; {}",
        count(*devices, "device"),
        count(batch_size / (devices * accumulate) / wings, "image"),
        count(*wings, "wing"),
        smallest_part / wings,
        larger_parts(*batch_size, *accumulate, *devices, *smallest_part)
    )]
    SmallParts {
        /// The images of a step.
        batch_size: usize,
        /// The micro-batches on each device.
        accumulate: usize,
        /// The number of devices.
        devices: usize,
        /// The wings that share a part.
        wings: usize,
        /// The fewest images that a part may have.
        smallest_part: usize,
    },
    /// A batch of an epoch in which a wing sees too few images: the data set is too small.
    #[error(
        "the training images are divided into batches of at most {batch_size} (batch_size), of which one has {images}: {} for \
         each of {}, but at least {} are needed; give more images, raise batch_size so that they make one batch, or set drop_last",
        count(images / wings, "image"),
        count(*wings, "wing"),
        smallest_part / wings
    )]
    SmallBatch {
        /// The images of the smallest batch.
        images: usize,
        /// The configured batch size.
        batch_size: usize,
        /// The wings that share a batch.
        wings: usize,
        /// The fewest images that a batch may have.
        smallest_part: usize,
    },
    /// `drop_last` with fewer images than a batch has.
    #[error(
        "drop_last leaves no batch: there are {images} images to train on and batch_size is {batch_size}; lower batch_size, or \
         leave drop_last out"
    )]
    NoFullBatch {
        /// The images to train on.
        images: usize,
        /// The batch size.
        batch_size: usize,
    },
    /// An empty list of devices.
    #[error("the list of devices is empty; give at least one, the first of which holds the model")]
    NoDevices,
    /// A work, or a device's share of it, ended in a panic: memory ran out, the device was lost, or model, objective or data
    /// set panicked.
    #[error(
        "{} failed {work}: {message}; {remedy}; last good checkpoint: {}",
        if *devices == 1 { "the computation".to_owned() } else { format!("device number {place} of {devices}") },
        checkpoint.as_ref().map_or("none".to_owned(), |path| path.display().to_string())
    )]
    Device {
        /// Which device of the list, from 1.
        place: usize,
        /// How many there are.
        devices: usize,
        /// At what, in words.
        work: String,
        /// What the panic said.
        message: String,
        /// What to do, in words; smaller sizes where memory ran out.
        remedy: String,
        /// The checkpoint to go back to.
        checkpoint: Option<PathBuf>,
    },
    /// A number is outside its range.
    #[error("{name} is {value}; it must be {range}")]
    OutOfRange {
        /// The setting.
        name: &'static str,
        /// The value given.
        value: f64,
        /// The range in words.
        range: &'static str,
    },
    /// A schedule's factor is outside its range.
    #[error("{name} is {value}; it must be above 0 (final_fraction: at least 0) and at most 1")]
    ScheduleFactor {
        /// The setting.
        name: &'static str,
        /// The value given.
        value: f64,
    },
    /// Milestones out of order.
    #[error("schedule.milestones are {milestones:?}; they must ascend without repetition")]
    Milestones {
        /// The milestones given.
        milestones: Vec<usize>,
    },
    /// A bad schedule of the probe.
    #[error("the probe (tuning.probe_schedule): {problem}")]
    ProbeSchedule {
        /// What is wrong with it.
        problem: Box<TrainError>,
    },
    /// A patience of zero epochs.
    #[error("{name} is 0; give at least 1 epoch, or leave it out")]
    NoPatience {
        /// The setting.
        name: &'static str,
    },
    /// A count of zero.
    #[error("{name} is 0; give at least 1, or leave it out")]
    Zero {
        /// The setting.
        name: &'static str,
    },
    /// The adversary's configuration, or the adversary itself, failed.
    #[error("the adversary: {0}")]
    Attack(#[from] AttackError),
    /// The validation's protocol has a setting that cannot be used.
    #[error("validation.protocol: {0}")]
    Protocol(AttackError),
    /// The data could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The validation split would hold no image.
    #[error(
        "the validation split of {fraction} of {images} images is empty; raise validation.fraction or give more \
         images: the best checkpoint is chosen on it"
    )]
    EmptyValidation {
        /// The fraction asked for.
        fraction: f64,
        /// The images there are.
        images: usize,
    },
    /// A setting that depends on the accuracy on the validation split, where no images are held out.
    #[error(
        "{setting} needs a validation: it follows the robust accuracy on held-out images, and validation is none; give \
         validation.fraction, such as 0.1, or choose another setting"
    )]
    NeedsValidation {
        /// The setting.
        setting: &'static str,
    },
    /// Too little is left to train on.
    #[error("{images} images are left to train on after the validation split; at least 2 are needed")]
    TooFewImages {
        /// The images left.
        images: usize,
    },
    /// The data name more classes than the model has.
    #[error(
        "the data have labels up to {label} but the model has {classes} classes; give the model a head for {} classes",
        label + 1
    )]
    LabelOutOfRange {
        /// The largest label.
        label: usize,
        /// The model's classes.
        classes: usize,
    },
    /// The model has no parameters, so no device.
    #[error("the model has no parameters; there is nothing to train")]
    NoParameters,
    /// A two-wing objective on a model without two-wing layers.
    #[error(
        "the objective trains two wings, which are two sets of batch-normalisation weights and statistics, and the model has \
         no TwinsBatchNorm layer: replace its batch normalisation by such layers; a model without batch normalisation, such \
         as ConvNeXt with its layer normalisation, has nothing to split, so use a method with one wing: {}",
        one_wing_methods()
    )]
    NoTwinsLayers,
    /// Training in a precision of which the smallest numbers are too large for gradients.
    #[error(
        "precision = \"f16\": gradients below 6e-8 would vanish, since losses are not scaled; train with `bf16`, which has the \
         range of f32, and leave f16 to `attack_precision`"
    )]
    TrainingInF16,
    /// Half precision for a model with Burn's own batch normalisation.
    #[error(
        "precision = \"{precision}\": the layer \"{layer}\" is Burn's BatchNorm, which would keep its statistics in {precision}; \
         use TwinsBatchNorm in its place, which keeps them in f32 and is the same layer otherwise, or train in f32"
    )]
    StockBatchNorm {
        /// The layer's path.
        layer: String,
        /// The precision asked for.
        precision: Precision,
    },
    /// A training step on a device without autodiff.
    #[error(
        "{what} is on a device without autodiff, where layers use running statistics and nothing can be differentiated; \
         make it on `device.autodiff()`, or call `model.train()` and `Tensor::from_inner`"
    )]
    NoAutodiff {
        /// The model or the tensor.
        what: &'static str,
    },
    /// A layer runs another wing than the objective needs.
    #[error(
        "the layer \"{layer}\" runs Wing::{found:?}, and the objective needs Wing::{expected:?}; \
         call `model.with_wing(objective.wing())` before the step"
    )]
    OtherWing {
        /// Path of the layer.
        layer: String,
        /// The wing that it runs.
        found: Wing,
        /// The objective's wing.
        expected: Wing,
    },
    /// A branch of higher rank than a weight's matrix.
    #[error(
        "auto_lora.rank is {rank}, but \"{path}\" is a {} × {} matrix; use a rank of at most {}",
        matrix[0], matrix[1], matrix[0].min(matrix[1])
    )]
    BranchRank {
        /// The rank given.
        rank: usize,
        /// The weight.
        path: String,
        /// Rows and columns: the first axis and all others.
        matrix: [usize; 2],
    },
    /// AutoLoRa on a model without a backbone to train.
    #[error(
        "the model has no weight for AutoLoRa's branch: there must be a trained convolution or linear layer before the \
         head; freeze less, or use the method \"trades\""
    )]
    NothingToBranch,
    /// A custom objective could not create its parameters or prepare for an epoch.
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
        /// Which value.
        what: String,
        /// The first weight or gradient that is not finite, or that all are.
        origin: String,
        /// The epoch, from 1.
        epoch: usize,
        /// The step within the epoch, from 1.
        step: usize,
        /// The learning rate of the step.
        learning_rate: f64,
        /// The checkpoint to go back to.
        checkpoint: Option<PathBuf>,
    },
    /// The run directory holds a run already.
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
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Weights do not belong to the model.
    #[error("the weights do not fit the model: {problem}; use the model that they were saved from")]
    WeightsMismatch {
        /// The first problem found.
        problem: String,
    },
    /// The model to train has statistics that no data can have.
    #[error("the model cannot be trained: {0}")]
    Statistics(#[from] StatisticsError),
    /// A checkpoint is truncated, altered or of another kind.
    #[error("{} is not a usable checkpoint: {problem}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The run in the directory has another configuration.
    #[error("{} holds a run with another configuration: {difference}; resume it with its own (more epochs are allowed), or overwrite it", path.display())]
    OtherConfig {
        /// The directory.
        path: PathBuf,
        /// The first setting that differs.
        difference: String,
    },
    /// The checkpoint belongs to other data.
    #[error(
        "the checkpoint was made with other training data (labels, number of images or validation split differ); \
         resume with the same data, or overwrite the run"
    )]
    OtherData,
    /// A configuration file cannot be used.
    #[error("{}: {problem}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A path prefix fits no parameter.
    #[error("freeze names \"{prefix}\", under which the model has no parameter; it has {}", known.join(", "))]
    NothingToFreeze {
        /// The prefix given.
        prefix: String,
        /// The layers that there are.
        known: Vec<String>,
    },
    /// A linear probe, or AutoLoRa's branch, on a model whose head is not known.
    #[error("{0}")]
    Head(#[from] HeadError),
    /// The model names a head that it does not have.
    #[error(
        "the model names \"{path}\" as its head (ImageClassifier::head), under which it has no parameter; it has {}",
        known.join(", ")
    )]
    NoSuchHead {
        /// The path that the model gave.
        path: String,
        /// The layers that there are.
        known: Vec<String>,
    },
    /// Everything is frozen.
    #[error("nothing is left to train: every parameter is frozen; freeze less")]
    NothingToTrain,
}

impl TrainError {
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// Adds the checkpoint to resume from to the error of a device.
    pub(crate) fn with_checkpoint(mut self, newest: Option<PathBuf>) -> Self {
        if let Self::Device { checkpoint, .. } = &mut self {
            *checkpoint = newest;
        }
        self
    }
}

/// A number of things, in words.
fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Settings with which every part of a step has at least `smallest` images.
fn larger_parts(batch_size: usize, accumulate: usize, devices: usize, smallest: usize) -> String {
    let most = |others: usize| batch_size / others / smallest;
    let mut ways = vec![format!("raise batch_size to {}", smallest * accumulate * devices)];
    if accumulate > 1 && most(devices) >= 1 {
        ways.push(format!("lower accumulate to {}", most(devices)));
    }
    if devices > 1 && most(accumulate) >= 1 {
        ways.push(format!("use at most {} of the devices", most(accumulate)));
    }
    ways.join(", or ")
}

/// What to do about a system's error, where that is known.
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
