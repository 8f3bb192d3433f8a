//! The activation after a normalisation.

use burn::tensor::Tensor;
use burn::tensor::activation::silu;
use serde::{Deserialize, Serialize};
use twins_nn::TwinsBatchNorm;

/// The activation function of a network that was published with more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x · σ(x), also called SiLU (Ramachandran et al., "Searching for activation functions", 2017).
    Swish,
}

impl Activation {
    /// Applies the normalisation, then the activation.
    pub(crate) fn after(self, norm: &TwinsBatchNorm, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Relu => norm.forward_relu(x),
            Self::Swish => silu(norm.forward(x)),
        }
    }
}
