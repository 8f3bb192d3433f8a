//! The dense layer in Burn's autodiff graph.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata};

use super::parents::Parents;
use super::{Bias, ConvKernels, Weights};
use crate::format::Format;

/// What the backward pass needs from the forward pass.
#[derive(Debug, Clone)]
struct Saved<B: Backend> {
    size: [usize; 3],
    format: Option<Format>,
    /// Present if the weight's gradient is requested.
    input: Option<FloatTensor<B>>,
    weight: Weights<B>,
}

pub(super) fn record<B: ConvKernels, C: CheckpointStrategy>(
    input: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: Bias<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let parents = Parents::<B>::new(input, weight, bias);
    let kept = parents.input_for_weight();
    let Parents { nodes, has_bias, input, weight, bias } = parents;
    match (Dense { has_bias }).prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let shape = input.shape();
            let saved = Saved::<B> {
                size: [shape[1], shape[2], shape[3]],
                format: B::format(&input),
                input: kept,
                weight: weight.clone(),
            };
            prep.finish(saved, B::dense_forward(input, weight, bias))
        }
        OpsKind::UnTracked(prep) => prep.finish(B::dense_forward(input, weight, bias)),
    }
}

#[derive(Debug)]
struct Dense {
    /// See [`Parents::has_bias`].
    has_bias: bool,
}

impl<B: ConvKernels> Backward<B, 3> for Dense {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let Saved { size, format, input, weight } = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let [input_node, weight_node, bias_node] = ops.parents;
        if let (Some(node), Some(input)) = (weight_node, input) {
            grads.register::<B>(node.id, B::dense_weight_gradient(input, gradient.clone()));
        }
        if let (Some(node), true) = (bias_node, self.has_bias) {
            grads.register::<B>(node.id, B::bias_gradient(gradient.clone()));
        }
        if let Some(node) = input_node {
            grads.register::<B>(node.id, B::dense_input_gradient(size, format, weight, gradient));
        }
    }
}
