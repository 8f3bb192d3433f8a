use std::path::PathBuf;

use twins_attack::AttackError;
use twins_data::DataError;
use twins_files::one_line;
use twins_train::TrainError;

use crate::record::run_record::RunRecord;

/// Errors in measuring for a report and in creating it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The number of test images is 0.
    #[error("the number of images is 0; measure on at least one image")]
    NoImages,
    /// A chart or a picture cannot be drawn.
    #[error("the report's part \"{part}\" cannot be made: {problem}")]
    Part {
        /// The chart or picture.
        part: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file of a run cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A run lacks one of its files.
    #[error(
        "{} is missing; give the directory of a run, or resume the run so that the file is written", path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file of a run has invalid content.
    #[error(
        "{} is damaged, or of another version of this library: {}; resume the run so that the file is written \
         again, or leave the run out", path.display(), one_line(problem)
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A directory contains no run.
    #[error(
        "{} holds no run: neither it nor a directory in it has a {}; give the directory of a run, or one that holds \
         runs", path.display(), RunRecord::FILE
    )]
    NoRun {
        /// The directory.
        path: PathBuf,
    },
    /// Settings cannot be written as JSON.
    #[error("settings cannot be recorded: {problem}; use types that JSON can hold, with text as keys")]
    Settings {
        /// What is wrong with them.
        problem: String,
    },
    /// Training settings are out of range.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An attack failed.
    #[error(transparent)]
    Attack(#[from] AttackError),
    /// Images cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
}
