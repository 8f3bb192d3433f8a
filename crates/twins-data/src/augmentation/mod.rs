//! Random changes to training images.

pub(crate) mod augment;
pub(crate) mod erasing;
mod rectangle;
pub(crate) mod resized_crop;
mod shift;
