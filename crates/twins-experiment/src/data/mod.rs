//! The images of an experiment: its parts, and what attacks read of them.

mod dataset_source;
mod images;
mod parts;

pub use dataset_source::DatasetSource;
pub use parts::{Parts, TestImages, TestPart};
