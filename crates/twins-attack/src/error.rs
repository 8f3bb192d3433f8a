use burn::tensor::TensorReadError;
use thiserror::Error;

use crate::attacks::registry::Setting;
use crate::evaluation::journal::error::JournalError;
use crate::model::inference_form::TrainingSign;
use crate::model::precision::Precision;
use crate::norms::norm::{Norm, enumerate};
use crate::norms::threat_model::ThreatModel;
use crate::samples::source::SourceError;

/// What can be wrong with the settings, the data or the model of an attack.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttackError {
    /// The radius of a threat model is negative or not a number.
    #[error("epsilon is {epsilon}: give a finite radius of at least 0 on the [0, 1] scale, such as 8/255")]
    Epsilon {
        /// The offending radius.
        epsilon: f32,
    },
    /// The radius of a Linf threat model is larger than the range of images, most often because it was given in levels
    /// of 0 to 255.
    #[error("epsilon {epsilon} is above 1: images are in [0, 1]; {}", of_levels(*.epsilon))]
    LinfEpsilon {
        /// The offending radius.
        epsilon: f32,
    },
    /// The radius of an L0 threat model, a number of values, is not a whole number.
    #[error(
        "epsilon {epsilon} is no whole number: in L0 it is how many values of an image may change; {}",
        of_count(*.epsilon)
    )]
    L0Epsilon {
        /// The offending radius.
        epsilon: f32,
    },
    /// An attack has no form for the norm.
    #[error("{attack} does not support {symbol}: it supports {names}", symbol = norm.symbol(), names = enumerate(supported))]
    UnsupportedNorm {
        /// The attack.
        attack: &'static str,
        /// The norm of the threat model.
        norm: Norm,
        /// The norms that the attack supports.
        supported: &'static [Norm],
    },
    /// The radius is zero where only a positive one makes sense.
    #[error(
        "epsilon is 0: no image but the clean one is allowed, so there is nothing to evaluate; report clean accuracy, or give a positive epsilon"
    )]
    ZeroEpsilon,
    /// An attack was given a setting that it does not have.
    #[error("{attack} has no {setting}: {}", settings(.supported))]
    UnsupportedSetting {
        /// The attack.
        attack: &'static str,
        /// The setting.
        setting: Setting,
        /// The settings that it has.
        supported: &'static [Setting],
    },
    /// An attack with no steps.
    #[error("{attack} with 0 {what} does nothing: give at least 1")]
    ZeroSteps {
        /// The attack that was configured.
        attack: &'static str,
        /// What was counted: steps, queries, restarts, ...
        what: &'static str,
    },
    /// A step size that cannot be used.
    #[error("step size is {step_size}: give a finite, non-negative one on the [0, 1] scale, such as 2/255")]
    StepSize {
        /// The offending step size.
        step_size: f32,
    },
    /// A setting outside its range.
    #[error("{name} is {value}: it must lie in {range}")]
    OutOfRange {
        /// Name of the setting.
        name: &'static str,
        /// The offending value.
        value: f32,
        /// The allowed range in words.
        range: &'static str,
    },
    /// The attack does not return its last iterate.
    #[error("{attack} returns the first fooled or the best iterate: its last one is arbitrary")]
    LastIterate {
        /// The attack.
        attack: &'static str,
    },
    /// The loss has no targeted form.
    #[error("the KL loss has no target: use cross-entropy, margin or DLR for a targeted attack")]
    TargetedKl,
    /// The KL loss is to be maximised from the clean image.
    #[error(
        "the KL loss cannot be maximised from the clean image, where its gradient is zero, so that the image would never \
         change: start from Start::Uniform, or from Start::Gaussian(0.001) as TRADES does (in a file: start = \"uniform\" or \
         start = {{ gaussian = 0.001 }})"
    )]
    KlFromClean,
    /// A targeted attack was asked for given targets and the samples carry none.
    #[error("the attack takes its targets from the samples and they have none: call Samples::with_targets")]
    NoTargets,
    /// A target equal to the label.
    #[error("sample {sample} has its own label {label} as target: a targeted attack needs another class")]
    TargetIsLabel {
        /// Number of the sample.
        sample: u64,
        /// The label and target.
        label: usize,
    },
    /// A rank that no class has.
    #[error(
        "there is no class of rank {rank} among {classes} classes: ranks run from 2 (the runner-up) to {classes}"
    )]
    TargetRank {
        /// The requested rank.
        rank: usize,
        /// How many classes the model has.
        classes: usize,
    },
    /// MALT's choice of targets in L0, whose dual norm does not exist.
    #[error(
        "{attack} with MALT's choice of targets does not support {symbol}, which has no dual norm for its scores: choose \
         Targets::Top, which ranks classes by their logits",
        symbol = norm.symbol()
    )]
    NoDualNorm {
        /// The attack.
        attack: String,
        /// The norm of the threat model.
        norm: Norm,
    },
    /// MALT's choice of targets where no gradients of clean images are computed.
    #[error(
        "MALT's choice of targets needs gradients of the clean images, which Pgd::perturb does not compute: choose Targets::Top, \
         which ranks classes by their logits, or use Attack::run"
    )]
    MaltInTraining,
    /// No samples.
    #[error("the batch is empty: give at least one image")]
    EmptyBatch,
    /// A batch size of zero.
    #[error("batch size is 0: give at least 1")]
    BatchSize,
    /// A list that goes with the images has another length.
    #[error("{images} images come with {count} {what}: give one for each image")]
    Count {
        /// Number of images.
        images: usize,
        /// What was counted.
        what: &'static str,
        /// How many there are.
        count: usize,
    },
    /// A tensor that goes with the images has another shape.
    #[error("the images have shape {images:?} and the starting points {other:?}: they must be equal")]
    Shape {
        /// Shape of the images.
        images: [usize; 4],
        /// The offending shape.
        other: [usize; 4],
    },
    /// Images outside the box.
    #[error(
        "the images lie in [{min}, {max}] and must lie in [0, 1]: if they were normalised, give the unnormalised \
         images and put the normalisation into the model, or epsilon would mean something else"
    )]
    OutsideBox {
        /// Smallest pixel.
        min: f32,
        /// Largest pixel.
        max: f32,
    },
    /// A pixel is not a number.
    #[error("image {sample} has a pixel that is not a number: repair or leave out this image")]
    NanPixel {
        /// Number of the sample.
        sample: u64,
    },
    /// An image could not be read.
    #[error("sample {sample} could not be read: {source}")]
    Source {
        /// Number of the sample.
        sample: u64,
        /// The source's error.
        source: SourceError,
    },
    /// An image has another number of values than its shape says.
    #[error(
        "sample {sample} has {found} values, and the source's images have {expected}: all must have one shape"
    )]
    ImageLength {
        /// Number of the sample.
        sample: u64,
        /// Channels times height times width.
        expected: usize,
        /// Values read.
        found: usize,
    },
    /// A point to start from has a value that is not finite.
    #[error(
        "the point to start from of sample {sample} has the value {value}: give finite values, or leave the starts out"
    )]
    Start {
        /// Number of the sample.
        sample: u64,
        /// The value.
        value: f32,
    },
    /// A label that the model has no class for.
    #[error("sample {sample} has label {label}, but the model tells only {classes} classes apart (0 to {})", classes - 1)]
    Label {
        /// Number of the sample.
        sample: u64,
        /// The offending label.
        label: usize,
        /// How many classes the model has.
        classes: usize,
    },
    /// The model has one class.
    #[error("the model returns {classes} logit per image: an attack needs at least 2 classes")]
    OneClass {
        /// How many classes the model has.
        classes: usize,
    },
    /// A loss needs more classes.
    #[error(
        "{loss} needs at least {needed} classes and the model has {classes}: use the margin loss or cross-entropy"
    )]
    TooFewClasses {
        /// The loss.
        loss: &'static str,
        /// How many classes it needs.
        needed: usize,
        /// How many the model has.
        classes: usize,
    },
    /// The model returns logits that are not finite.
    #[error(
        "the model's logits for sample {sample} are not finite ({value}): check its weights and its input normalisation"
    )]
    Logits {
        /// Number of the sample.
        sample: u64,
        /// The offending logit.
        value: f32,
    },
    /// The model returns the wrong number of rows.
    #[error(
        "the model returned {rows} rows of logits for {images} images: it must return one row per image, in order"
    )]
    LogitRows {
        /// Rows returned.
        rows: usize,
        /// Images given.
        images: usize,
    },
    /// The model is in its training form.
    #[error(
        "the model is not in its inference form: {sign}. Attack `model.valid()`: otherwise batch normalisation uses and \
         changes batch statistics, dropout is active, and the wings of a TWINS layer split the batch (weights that are not in a \
         module: `tensor.inner()`)"
    )]
    TrainingMode {
        /// What shows it.
        sign: TrainingSign,
    },
    /// No gradient reaches the input.
    #[error(
        "no gradient of the logits reaches the images: the model must be differentiable in its input \
         (no detach, no rounding to another device); score-based attacks such as Square work without gradients"
    )]
    NoGradient,
    /// A device that cannot compute in the precision asked for.
    #[error("{device} cannot compute in `{precision}`: choose {supported}, or another device")]
    Precision {
        /// The device.
        device: String,
        /// The precision asked for.
        precision: Precision,
        /// The precisions that it has.
        supported: String,
    },
    /// No attack has been chosen.
    #[error("the list of attacks is empty: name at least one")]
    NoAttacks,
    /// An attack waits for something else than the model.
    #[error(
        "{attack} waits for something that is not an answer of the model: an attack may await nothing but the methods of \
         its Model, one at a time"
    )]
    NoQuestion {
        /// The attack.
        attack: String,
    },
    /// An attack asks about an image of another size.
    #[error(
        "{attack} asks about an image of {found} values: give as many as the clean image has, {expected}"
    )]
    QuestionLength {
        /// The attack.
        attack: String,
        /// Values of the clean image.
        expected: usize,
        /// Values of the image that was asked about.
        found: usize,
    },
    /// A threat model comes twice.
    #[error("the list of threat models has {threat} twice: name each once")]
    DuplicateThreat {
        /// The threat model.
        threat: ThreatModel,
    },
    /// The journal belongs to other settings or other data.
    #[error(
        "the journal belongs to an evaluation with other settings or other data (its hash is {found}, this one's \
         {expected}): repeat the settings of its start, or start anew without it"
    )]
    OtherEvaluation {
        /// Hash of the present settings and data.
        expected: String,
        /// Hash in the journal.
        found: String,
    },
    /// The journal belongs to another model.
    #[error(
        "the journal belongs to another model, which gave other logits for the clean sample {sample}: \
         evaluate the same weights, or start anew without it"
    )]
    OtherModel {
        /// Number of the first sample with other logits.
        sample: u64,
    },
    /// No model was given.
    #[error("there are no replicas of the model to evaluate: give at least one")]
    NoReplica,
    /// A replica is not the model that the first one is.
    #[error(
        "replica {place} is another model than the first one, with other logits for the clean sample {sample}: give \
         the same weights on every device"
    )]
    OtherReplica {
        /// Place of the replica, from 0.
        place: usize,
        /// Number of the sample.
        sample: u64,
    },
    /// The journal contradicts itself.
    #[error(
        "outcome {place} of the journal does not fit the evaluation: the file is damaged, start anew without it"
    )]
    DamagedJournal {
        /// Place of the outcome.
        place: usize,
    },
    /// The journal cannot be read or written, or is of another model.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The observer ended the evaluation.
    #[error("the evaluation was stopped by its observer: resume it from its journal")]
    Stopped,
    /// A device could not be read.
    #[error("a tensor could not be read from its device")]
    Device(#[from] TensorReadError),
}

/// What to give in place of a setting that an attack does not have.
fn settings(supported: &[Setting]) -> String {
    let names: Vec<String> = supported.iter().map(Setting::to_string).collect();
    format!("leave it out; its settings are {}", names.join(", "))
}

/// What an epsilon above 1 was probably meant to be.
fn of_levels(epsilon: f32) -> String {
    if epsilon <= 255.0 {
        format!("did you mean {epsilon}/255?")
    } else {
        "give a fraction such as 8/255".to_owned()
    }
}

/// What an epsilon that is no count was probably meant to be.
fn of_count(epsilon: f32) -> String {
    if epsilon < 1.0 {
        "give a count such as 24 (a radius on the [0, 1] scale belongs to another norm, and a share of the values has to be \
         multiplied by their number)"
            .to_owned()
    } else {
        format!("give {} or {}", epsilon.floor(), epsilon.ceil())
    }
}
