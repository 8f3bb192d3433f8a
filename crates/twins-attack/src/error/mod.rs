//! The errors of the crate.

use std::path::PathBuf;

use burn::tensor::TensorReadError;
use setting::SettingError;
use thiserror::Error;
use twins_files::one_line;

use crate::evaluation::journal::error::JournalError;
use crate::model::inference_form::TrainingSign;
use crate::samples::source::SourceError;

pub(crate) mod setting;

/// What can be wrong with the settings, the data or the model of an attack.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttackError {
    /// A setting of the attack or of the evaluation is invalid.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// An attack takes its targets from the samples, but the samples have none.
    #[error("the attack takes its targets from the samples and they have none: call Samples::with_targets")]
    NoTargets,
    /// A target equals the label.
    #[error("sample {sample} has its own label {label} as target: a targeted attack needs another class")]
    TargetIsLabel {
        /// Number of the sample.
        sample: u64,
        /// The label, which is also the target.
        label: usize,
    },
    /// No class has the requested rank.
    #[error(
        "there is no class of rank {rank} among {classes} classes: ranks run from 2 (the runner-up) to {classes}"
    )]
    TargetRank {
        /// The requested rank.
        rank: usize,
        /// How many classes the model has.
        classes: usize,
    },
    /// There are no samples.
    #[error("the batch is empty: give at least one image")]
    EmptyBatch,
    /// A list that belongs to the images has a different length.
    #[error("{images} images come with {count} {what}: give one for each image")]
    Count {
        /// Number of images.
        images: usize,
        /// What was counted.
        what: &'static str,
        /// How many there are.
        count: usize,
    },
    /// A tensor that belongs to the images has a different shape.
    #[error("the images have shape {images:?} and the starting points {other:?}: they must be equal")]
    Shape {
        /// Shape of the images.
        images: [usize; 4],
        /// The offending shape.
        other: [usize; 4],
    },
    /// Images have values outside the box.
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
    /// An image that was read again is another one than before.
    #[error(
        "the image of sample {sample} has changed since the evaluation began; restore it, or start a new evaluation of the images \
         as they are now"
    )]
    ImageChanged {
        /// Number of the sample.
        sample: u64,
    },
    /// The number of values of an image does not match its shape.
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
    /// A starting point has a value that is not finite.
    #[error(
        "the point to start from of sample {sample} has the value {value}: give finite values, or leave the starts out"
    )]
    Start {
        /// Number of the sample.
        sample: u64,
        /// The value.
        value: f32,
    },
    /// The number of values of a starting point differs from that of its image.
    #[error(
        "the point to start from of sample {sample} has {found} values, and its image has {expected}: give as many"
    )]
    StartLength {
        /// Number of the sample.
        sample: u64,
        /// Number of values of the image.
        expected: usize,
        /// Number of values of the starting point.
        found: usize,
    },
    /// A label is not a class of the model.
    #[error("sample {sample} has label {label}, but the model tells only {classes} classes apart (0 to {})", classes - 1)]
    Label {
        /// Number of the sample.
        sample: u64,
        /// The offending label.
        label: usize,
        /// How many classes the model has.
        classes: usize,
    },
    /// The model has fewer than two classes.
    #[error("the model returns {classes} logit per image: an attack needs at least 2 classes")]
    OneClass {
        /// How many classes the model has.
        classes: usize,
    },
    /// A loss needs more classes than the model has.
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
        "the model's logits for sample {sample} are not finite ({value}): check its weights and its input normalisation, \
         and in f16, whose largest number is 65504, the size of its values (bf16 has the range of f32)"
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
        /// How the training form was detected.
        sign: TrainingSign,
    },
    /// No gradient reaches the input.
    #[error(
        "no gradient of the logits reaches the images: the model must be differentiable in its input \
         (no detach, no rounding to another device); score-based attacks such as Square work without gradients"
    )]
    NoGradient,
    /// An attack waits for something other than the model.
    #[error(
        "{attack} awaits something that is not a response of the model: an attack may await nothing but the methods of \
         its Model, one at a time"
    )]
    NoQuery {
        /// The attack.
        attack: String,
    },
    /// An attack queries the model with an image of the wrong size.
    #[error("{attack} queries an image of {found} values: give as many as the clean image has, {expected}")]
    QueryLength {
        /// The attack.
        attack: String,
        /// Number of values of the clean image.
        expected: usize,
        /// Number of values of the queried image.
        found: usize,
    },
    /// An attack queries the model with an image that has a value that is not finite.
    #[error(
        "{attack} queries an image with the value {value}: give finite values in [0, 1] (a gradient can be zero, and so its length)"
    )]
    QueryValue {
        /// The attack.
        attack: String,
        /// The value.
        value: f32,
    },
    /// The journal belongs to an evaluation with other settings or other data.
    #[error(
        "the journal {} belongs to an evaluation with other settings or other data (its hash is {found}, this one's \
         {expected}): repeat the settings and the images of its start, or start anew without it",
        journal.display(),
        // Of a changed file, it may be any text.
        found = one_line(found)
    )]
    OtherEvaluation {
        /// The journal.
        journal: PathBuf,
        /// Hash of the current settings and data.
        expected: String,
        /// Hash in the journal.
        found: String,
    },
    /// The journal belongs to another model.
    #[error(
        "the journal {} belongs to another model, which gave other logits for the clean sample {sample}: \
         evaluate the same weights, or start anew without it", journal.display()
    )]
    OtherModel {
        /// The journal.
        journal: PathBuf,
        /// Number of the first sample with other logits.
        sample: u64,
    },
    /// No model was given.
    #[error("there are no replicas of the model to evaluate: give at least one")]
    NoReplica,
    /// A replica is a different model than the first one.
    #[error(
        "replica {place} is another model than the first one, with other logits for the clean sample {sample}: give \
         the same weights on every device"
    )]
    OtherReplica {
        /// Index of the replica, from 0.
        place: usize,
        /// Number of the sample.
        sample: u64,
    },
    /// The journal does not fit the evaluation because it is damaged.
    #[error(
        "outcome {place} of the journal {} does not fit the evaluation: the file is damaged, start anew without it",
        journal.display()
    )]
    DamagedJournal {
        /// The journal.
        journal: PathBuf,
        /// Index of the outcome.
        place: usize,
    },
    /// The journal cannot be read or written, or belongs to another model.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The observer ended the evaluation.
    #[error("the evaluation was stopped by its observer: resume it from its journal")]
    Stopped,
    /// A tensor could not be read from its device.
    #[error("a tensor could not be read from its device: {}", reason(.0))]
    Device(#[from] TensorReadError),
}

/// The reason of a failed read, on one line.
fn reason(error: &TensorReadError) -> String {
    let text = error.to_string();
    // What Burn's remote backend reports when the connection ends before the response.
    if text.contains("RecvError") {
        return "the connection to the device's server was lost; start the server again or name other devices, and resume"
            .to_owned();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_changed_journal_does_not_act_on_a_terminal() {
        let other = AttackError::OtherEvaluation {
            journal: "evaluation.journal".into(),
            expected: "6c9f".to_owned(),
            found: "\u{1b}[2J\n6c".to_owned(),
        };
        let message = other.to_string();
        assert!(message.contains("its hash is \\u{1b}[2J\\n6c, this one's 6c9f"), "{message}");
    }
}
