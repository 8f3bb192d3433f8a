//! The convolution in Burn's autodiff graph.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata};
use burn::tensor::ops::ConvOptions;

use super::parents::Parents;
use super::{Bias, ConvKernels, OutputAndInput, Weights};
use crate::format::Format;

/// What the requested gradients need from the forward pass.
#[derive(Debug, Clone)]
struct Saved<B: Backend> {
    size: [usize; 2],
    format: Option<Format>,
    /// Present if the weight's gradient is requested.
    input: Option<FloatTensor<B>>,
    weight: Weights<B>,
    options: ConvOptions<2>,
    others: Option<Others<B>>,
}

/// The part of the gradient of a convolution's input that comes from the input's other uses. The backward pass writes it before it
/// reaches the convolution.
type Others<B> = Arc<Mutex<Option<FloatTensor<B>>>>;

/// Records the convolution, and returns its input once more. The convolution adds the gradient of this second tensor to that of its
/// input.
pub(super) fn record_with_input<B: ConvKernels, C: CheckpointStrategy>(
    input: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: Bias<Autodiff<B, C>>,
    options: ConvOptions<2>,
) -> OutputAndInput<Autodiff<B, C>> {
    let others = Others::<B>::default();
    let output = record(input.clone(), weight, bias, options, Some(others.clone()));
    if !input.is_tracked() {
        return OutputAndInput { output, input };
    }
    // As a child of the output too, this node is processed before the convolution.
    let parents = [input.node(), output.node()];
    let input = match Input.prepare::<C>(parents).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(others, input.into_primitive()),
        OpsKind::UnTracked(prep) => prep.finish(input.into_primitive()),
    };
    OutputAndInput { output, input }
}

/// Records the convolution. `others` is the part of the input's gradient that it adds.
pub(super) fn record<B: ConvKernels, C: CheckpointStrategy>(
    input: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: Bias<Autodiff<B, C>>,
    options: ConvOptions<2>,
    others: Option<Others<B>>,
) -> FloatTensor<Autodiff<B, C>> {
    let parents = Parents::<B>::new(input, weight, bias);
    let kept = parents.input_for_weight();
    let Parents { nodes, has_bias, input, weight, bias } = parents;
    match (Convolution { has_bias }).prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let shape = input.shape();
            let saved = Saved::<B> {
                size: [shape[2], shape[3]],
                format: B::format(&input),
                input: kept,
                weight: weight.clone(),
                options: options.clone(),
                others,
            };
            prep.finish(saved, B::forward(input, weight, bias, &options))
        }
        OpsKind::UnTracked(prep) => prep.finish(B::forward(input, weight, bias, &options)),
    }
}

#[derive(Debug)]
struct Convolution {
    /// See [`Parents::has_bias`].
    has_bias: bool,
}

impl<B: ConvKernels> Backward<B, 3> for Convolution {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let Saved { size, format, input, weight, options, others } = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let [input_node, weight_node, bias_node] = ops.parents;
        if let (Some(node), Some(input)) = (weight_node, input) {
            let shape = weight.values.shape();
            let sizes = [shape[0], shape[1], shape[2], shape[3]];
            grads.register::<B>(node.id, B::weight_gradient(input, sizes, gradient.clone(), &options));
        }
        if let (Some(node), true) = (bias_node, self.has_bias) {
            grads.register::<B>(node.id, B::bias_gradient(gradient.clone()));
        }
        if let Some(node) = input_node {
            let others =
                others.and_then(|others| others.lock().unwrap_or_else(PoisonError::into_inner).take());
            grads.register::<B>(node.id, B::input_gradient(size, format, weight, gradient, others, &options));
        }
    }
}

/// The input of a convolution for its other uses. The convolution adds this node's gradient to that of its input.
#[derive(Debug)]
struct Input;

impl<B: ConvKernels> Backward<B, 2> for Input {
    type State = Others<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        *ops.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradient);
    }
}
