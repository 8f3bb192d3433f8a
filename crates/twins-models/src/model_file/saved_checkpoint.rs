//! Which checkpoint of its training a model file holds.

use serde::{Deserialize, Serialize};

/// The checkpoint of a training that a model file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SavedCheckpoint {
    /// The one with the best robust accuracy on held-out images.
    Best,
    /// The last one: no images were held out to choose another.
    Last,
}
