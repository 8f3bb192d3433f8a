use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::NodeGuard;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};

use super::{Bias, Weights};

/// The tensors from which a layer is computed, in Burn's autodiff graph and on the backend.
pub(super) struct Parents<B: Backend> {
    /// Input, weight and bias. The graph needs a fixed number of parents, so the input takes the place of an absent
    /// bias.
    pub(super) nodes: [NodeGuard; 3],
    /// Whether the bias requires a gradient. Otherwise the third node may be the input.
    pub(super) has_bias: bool,
    pub(super) input: FloatTensor<B>,
    pub(super) weight: Weights<B>,
    pub(super) bias: Option<FloatTensor<B>>,
}

impl<B: Backend> Parents<B> {
    pub(super) fn new<C: CheckpointStrategy>(
        input: FloatTensor<Autodiff<B, C>>,
        weight: FloatTensor<Autodiff<B, C>>,
        bias: Bias<Autodiff<B, C>>,
    ) -> Self {
        let bias = bias.into_option();
        let nodes = [input.node(), weight.node(), bias.as_ref().unwrap_or(&input).node()];
        let are_constant = !weight.is_tracked();
        Self {
            nodes,
            has_bias: bias.as_ref().is_some_and(|bias| bias.is_tracked()),
            input: input.into_primitive(),
            weight: Weights { values: weight.into_primitive(), are_constant },
            bias: bias.map(|bias| bias.into_primitive()),
        }
    }

    /// Returns the input if the weight's gradient is requested.
    pub(super) fn input_for_weight(&self) -> Option<FloatTensor<B>> {
        (!self.weight.are_constant).then(|| self.input.clone())
    }
}
