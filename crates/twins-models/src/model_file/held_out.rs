//! The images that were held out from a model's training.

use serde::{Deserialize, Serialize};

/// A test part that was drawn from data without its own test part. It records the seeded, stratified split, so that the
/// same images can be selected again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeldOut {
    /// The total number of images in both parts. If the number has changed, the split is different.
    pub images: usize,
    /// The fraction of images that was held out, between 0 and 1.
    pub fraction: f64,
    /// The seed of the split.
    pub seed: u64,
}
