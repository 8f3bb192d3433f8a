//! The checkpoint of a training that a model file contains.

use serde::{Deserialize, Serialize};

/// The checkpoint of a training that a model file contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SavedCheckpoint {
    /// The checkpoint with the best robust accuracy on held-out images.
    Best,
    /// The last checkpoint, because no images were held out to choose the best one.
    Last,
    /// The moving average of the weights after the last epoch, because no images were held out to choose the best checkpoint.
    Averaged,
}
