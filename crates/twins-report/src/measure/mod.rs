//! What is measured on test images for a report: curves, scores and pictures of adversarial examples.

pub(crate) mod curve;
pub(crate) mod gallery;
pub(crate) mod png;
pub(crate) mod samples;
#[cfg(test)]
pub(crate) mod two_pixels;
