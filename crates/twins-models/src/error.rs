//! Errors of models and weight files.

use std::path::PathBuf;

use twins_files::{one_line, shortened};

use crate::architectures::architecture::Architecture;
use crate::architectures::shortcuts::Shortcuts;
use crate::import::mismatch::ImportMismatch;

/// Errors of building, importing, saving and loading models.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No architecture has that name.
    #[error(
        "unknown architecture {name:?}: did you mean {nearest:?}? Known: {known} (any wrn-D-W, dm-wrn-D-W and dm-wrn-D-W-swish with D = 6n + 4)"
    )]
    UnknownArchitecture {
        /// The requested name.
        name: String,
        /// The most similar known name.
        nearest: &'static str,
        /// All known names.
        known: String,
    },
    /// Shared gamma and beta were requested for a network without batch normalisation.
    #[error(
        "{arch} has no batch normalisation whose wings could share gamma and beta; leave the setting out, or take another architecture"
    )]
    NoBatchNorm {
        /// The architecture.
        arch: Architecture,
    },
    /// The text is not a form of shortcuts.
    #[error("unknown shortcuts {text:?}: give padded or projected")]
    UnknownShortcuts {
        /// The text.
        text: String,
    },
    /// The text is not a normalisation.
    #[error(
        "unknown normalisation {text:?}: give imagenet, cifar10, cifar100 or MEAN,…/STD,…, for instance 0.5,0.5,0.5/0.25,0.25,0.25"
    )]
    NormalisationText {
        /// The text.
        text: String,
    },
    /// No WideResNet has that depth and width.
    #[error(
        "no WideResNet has depth {depth} and width {width}: take a depth of 6n + 4 from 10 to 202 and a width from 1 to 32, for instance wrn-28-10"
    )]
    WideResNetSize {
        /// The requested depth.
        depth: usize,
        /// The requested width.
        width: usize,
    },
    /// The mean and standard deviation are not valid for a normalisation.
    #[error(
        "cannot normalise by mean {mean:?} and std {std:?}: give one finite mean and one positive std per channel"
    )]
    Normalisation {
        /// The given means.
        mean: Vec<f32>,
        /// The given standard deviations.
        std: Vec<f32>,
    },
    /// The normalisation and the network's input have different numbers of channels.
    #[error(
        "{arch} takes images of {expected} channels, the normalisation has {found}: give one mean and std per channel"
    )]
    NormalisationChannels {
        /// The network.
        arch: Architecture,
        /// Channels of its input.
        expected: usize,
        /// Channels of the normalisation.
        found: usize,
    },
    /// Shortcuts were chosen for a network that offers no choice of shortcuts.
    #[error(
        "{arch} has no choice of shortcuts, {shortcuts} ones were asked for: leave them out; resnet20, 32, 44 and 56 have both"
    )]
    Shortcuts {
        /// The network.
        arch: Architecture,
        /// The requested shortcuts.
        shortcuts: Shortcuts,
    },
    /// A classifier needs at least two classes.
    #[error("a classifier of {found} classes was asked for: give at least 2")]
    Classes {
        /// The requested number.
        found: usize,
    },
    /// The network cannot take images of that size.
    #[error("{arch} cannot take {height}x{width} images: {remedy}")]
    ImageSize {
        /// The network.
        arch: Architecture,
        /// Height of the images after up-sampling.
        height: usize,
        /// Width of the images after up-sampling.
        width: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// The images do not have the number of channels that the network takes.
    #[error(
        "{arch} takes images of {expected} channels, these have {found}: choose a data set or an architecture that fits"
    )]
    Channels {
        /// The network.
        arch: Architecture,
        /// Channels of its input.
        expected: usize,
        /// Channels of the images.
        found: usize,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file could not be written; no partial file remains.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file contains no weights that can be read.
    #[error(
        "{} is no usable weight file: {}. Give a PyTorch (.pt, .pth, .ckpt, .th), safetensors or burnpack file",
        path.display(), one_line(reason)
    )]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A pickle refers to a function that weights never need.
    #[error(
        "{} asks to call {} when it is unpickled, which weights never need: nothing was run, do not trust this file",
        path.display(), shortened(name, LONGEST_NAME)
    )]
    RefusedPickle {
        /// The file.
        path: PathBuf,
        /// The function.
        name: String,
    },
    /// The file has no entry of that name.
    #[error("{} has no dictionary {entry:?} that holds tensors; it has: {available}", path.display())]
    NoSuchEntry {
        /// The file.
        path: PathBuf,
        /// The requested entry.
        entry: String,
        /// Dictionaries that hold tensors.
        available: String,
    },
    /// The text of a rename is not a regular expression.
    #[error("cannot rename by {expression:?}: {source}")]
    RenameExpression {
        /// The expression.
        expression: String,
        /// The error, with its position in the expression.
        source: regex::Error,
    },
    /// A rename has no replacement.
    #[error("{text:?} renames nothing: give REGEX=TO, for instance \"^conv_(\\d)=conv$1\"")]
    RenameWithoutReplacement {
        /// The given text.
        text: String,
    },
    /// Two entries of a file have the same name after renaming.
    #[error(
        "{}: {} and {} would both be named {}: make the expressions more specific",
        path.display(), one_line(first), one_line(second), one_line(name)
    )]
    RenameCollision {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
        /// The file's key of the first entry.
        first: String,
        /// The file's key of the second entry.
        second: String,
    },
    /// The file does not match the network.
    #[error("{} does not fit {arch}: {mismatch}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The network.
        arch: Architecture,
        /// Every difference.
        mismatch: Box<ImportMismatch>,
    },
    /// The values of an entry are not valid weights.
    #[error(
        "{}: entry {} {}: the file is damaged or its training diverged",
        path.display(), one_line(key), one_line(problem)
    )]
    BadValues {
        /// The file.
        path: PathBuf,
        /// The file's key.
        key: String,
        /// The problem with its values.
        problem: String,
    },
    /// A model file contains another architecture.
    #[error("{} holds a {found}, not a {expected}: name the architecture {found}", path.display())]
    WrongArchitecture {
        /// The file.
        path: PathBuf,
        /// Architecture in the file.
        found: Architecture,
        /// The requested architecture.
        expected: Architecture,
    },
    /// A model file has another number of classes.
    #[error("{} was trained for {found} classes, {expected} were asked for: load it with its own and give it a new head", path.display())]
    WrongClassCount {
        /// The file.
        path: PathBuf,
        /// Classes in the file.
        found: usize,
        /// The requested number of classes.
        expected: usize,
    },
    /// A weight file is not a model file of this library.
    #[error(
        "{} was not saved by this library: {}. Import it with its architecture's name instead",
        path.display(), one_line(reason)
    )]
    NotAModelFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The card of a model file of this library cannot be read.
    #[error(
        "the model card in {} is damaged, or of a newer version of this library: {}. Take an intact copy, or update the library",
        path.display(), one_line(reason)
    )]
    DamagedCard {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A model and a data set have different classes, so their labels have different meanings.
    #[error(
        "{} was trained on the classes {}; the data has {}{}: give data of the model's classes, or fine-tune the model on this data",
        path.display(), abridged(expected), abridged(found), hidden_difference(expected, found)
    )]
    OtherClasses {
        /// The model file.
        path: PathBuf,
        /// Classes of the model, in the order of its logits.
        expected: Vec<String>,
        /// Classes of the data, in the order of its labels.
        found: Vec<String>,
    },
    /// The class names do not match the model.
    #[error(
        "{found} class names were given for a model of {expected} classes: give one per class, none twice"
    )]
    ClassNames {
        /// Number of different names.
        found: usize,
        /// Classes of the model.
        expected: usize,
    },
}

/// The number of characters that are shown of the name of a class or a function.
const LONGEST_NAME: usize = 100;

/// The number of classes whose names are shown.
const SHOWN: usize = 10;

fn abridged(names: &[String]) -> String {
    let shown =
        names.iter().take(SHOWN).map(|name| shortened(name, LONGEST_NAME)).collect::<Vec<_>>().join(", ");
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{} ({shown}{more})", names.len())
}

/// The first difference between two lists of names if it is among those that are not shown.
fn hidden_difference(expected: &[String], found: &[String]) -> String {
    match expected.iter().zip(found).enumerate().find(|(_, (expected, found))| expected != found) {
        Some((label, (expected, found))) if label >= SHOWN => {
            let [expected, found] = [expected, found].map(|name| shortened(name, LONGEST_NAME));
            format!("; label {label} is {expected} for the model and {found} in the data")
        }
        _ => String::new(),
    }
}
