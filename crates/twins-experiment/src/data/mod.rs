//! The images of an experiment: its parts, and the source of samples for attacks.

mod dataset_source;
mod image_files;
mod images;
mod parts;

pub use dataset_source::DatasetSource;
pub use image_files::ImageFileHashes;
pub use parts::{Parts, TestImages, TestPart};
