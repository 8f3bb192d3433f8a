//! Measurements on test images for a report: robustness curves, scores and a gallery of adversarial examples.

pub(crate) mod curve;
pub(crate) mod gallery;
pub(crate) mod png;
pub(crate) mod samples;
#[cfg(test)]
pub(crate) mod two_pixels;
