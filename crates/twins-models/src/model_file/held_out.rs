//! Which images a model was not trained on.

use serde::{Deserialize, Serialize};

/// A test part that was drawn from images without parts of their own: the seeded, stratified split that finds it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// The number of all images, of both parts; another number now means that the split is another one.
    pub images: usize,
    /// The share of them that was held out, between 0 and 1.
    pub fraction: f64,
    /// The seed that chose them.
    pub seed: u64,
}
