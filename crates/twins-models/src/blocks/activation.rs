//! What follows a normalisation.

use burn::tensor::Tensor;
use burn::tensor::activation::silu;
use serde::{Deserialize, Serialize};
use twins_nn::TwinsBatchNorm;

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
    /// The normalisation, then the activation.
    pub(crate) fn after(self, norm: &TwinsBatchNorm, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Relu => norm.forward_relu(x),
            Self::Swish => silu(norm.forward(x)),
        }
    }
}
