//! What every data set offers, data sets from memory, and batches.

pub(crate) mod batch;
pub(crate) mod class_names;
pub(crate) mod image_dataset;
pub(crate) mod part;
pub(crate) mod tensor_dataset;
