use std::path::PathBuf;

use twins_attack::AttackError;
use twins_data::DataError;
use twins_train::TrainError;

/// What can go wrong in measuring for a report and in making it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// No test images were asked for.
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
        /// The system's error.
        source: std::io::Error,
    },
    /// Settings of a training are out of range.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An attack failed.
    #[error(transparent)]
    Attack(#[from] AttackError),
    /// Images cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
}
