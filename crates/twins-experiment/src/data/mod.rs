//! The images of an experiment: its parts, and the source of samples for attacks.

mod dataset_source;
mod images;
mod parts;

pub use dataset_source::DatasetSource;
pub use parts::{Parts, TestImages, TestPart};
