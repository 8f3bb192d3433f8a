//! What follows a normalisation.

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, silu};
use serde::{Deserialize, Serialize};

/// The activation of a network whose published forms differ in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x · σ(x), also called SiLU (Ramachandran et al., "Searching for activation functions", 2017).
    Swish,
}

impl Activation {
    pub(crate) fn forward(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Relu => relu(x),
            Self::Swish => silu(x),
        }
    }
}
