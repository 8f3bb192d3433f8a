//! The trait of all data sets, data sets in memory, and batches.

pub(crate) mod batch;
pub(crate) mod class_names;
pub(crate) mod image_dataset;
pub(crate) mod part;
pub(crate) mod tensor_dataset;
