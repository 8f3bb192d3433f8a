//! The dense layer in Burn's graph.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata};

use super::{Bias, ConvKernels, Weights};
use crate::format::Format;

/// What the backward pass needs of the forward one.
#[derive(Debug, Clone)]
struct Saved<B: Backend> {
    size: [usize; 3],
    format: Option<Format>,
    /// For the weight's gradient.
    input: Option<FloatTensor<B>>,
    weight: Weights<B>,
}

pub(super) fn record<B: ConvKernels, C: CheckpointStrategy>(
    input: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: Bias<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let bias = bias.into_option();
    // The graph wants a fixed number of parents: the input stands in for a bias that is absent.
    let parents = [input.node(), weight.node(), bias.as_ref().unwrap_or(&input).node()];
    let are_constant = !weight.is_tracked();
    let has_bias = bias.as_ref().is_some_and(|bias| bias.is_tracked());
    let (input, weight) = (input.into_primitive(), Weights { values: weight.into_primitive(), are_constant });
    let bias = bias.map(|bias| bias.into_primitive());
    match (Dense { has_bias }).prepare::<C>(parents).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let shape = input.shape();
            let saved = Saved::<B> {
                size: [shape[1], shape[2], shape[3]],
                format: B::format(&input),
                input: (!are_constant).then(|| input.clone()),
                weight: weight.clone(),
            };
            prep.finish(saved, B::dense_forward(input, weight, bias))
        }
        OpsKind::UnTracked(prep) => prep.finish(B::dense_forward(input, weight, bias)),
    }
}

#[derive(Debug)]
struct Dense {
    /// Whether the bias asks for a gradient: the third parent is it, and not the input once more.
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
