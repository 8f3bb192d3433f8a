use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, ExtensionType, TensorMetadata, backend_extension};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, Tensor};

use crate::format::Format;

/// The layer's options where the kernel takes this input.
pub(crate) fn options(layer: &Conv2d, input: &Tensor<4>) -> Option<ConvOptions<2>> {
    let [_, channels, height, width] = input.dims();
    let [top, left, bottom, right] = match layer.padding {
        PaddingConfig2d::Valid => [0; 4],
        PaddingConfig2d::Explicit(top, left, bottom, right) => [top, left, bottom, right],
        PaddingConfig2d::Same => return None,
    };
    let fits = |size: usize, padding: usize, axis: usize| size + padding >= layer.kernel_size[axis];
    let covered = height * width > 0
        && layer.groups == 1
        && layer.dilation == [1, 1]
        && input.dtype() == DType::F32
        && layer.weight.dtype() == DType::F32
        && input.device().inner() == Device::flex()
        && layer.weight.dims()[1] == channels
        && fits(height, top + bottom, 0)
        && fits(width, left + right, 1);
    covered.then(|| ConvOptions::new_with_padding(layer.stride, [(top, bottom), (left, right)], [1, 1], 1))
}

pub(crate) fn conv2d(layer: &Conv2d, input: Tensor<4>, options: ConvOptions<2>) -> Tensor<4> {
    let (weight, bias) = parameters(layer);
    Tensor::from_dispatch(Dispatch::convolution(input.into_dispatch(), weight, bias, options))
}

pub(crate) fn conv2d_and_input(
    layer: &Conv2d,
    input: Tensor<4>,
    options: ConvOptions<2>,
) -> (Tensor<4>, Tensor<4>) {
    let (weight, bias) = parameters(layer);
    let OutputAndInput { output, input } =
        Dispatch::convolution_and_input(input.into_dispatch(), weight, bias, options);
    (Tensor::from_dispatch(output), Tensor::from_dispatch(input))
}

fn parameters(layer: &Conv2d) -> (FloatTensor<Dispatch>, Bias<Dispatch>) {
    let bias = match &layer.bias {
        Some(bias) => Bias::Some(bias.val().into_dispatch()),
        None => Bias::None,
    };
    (layer.weight.val().into_dispatch(), bias)
}

/// The bias, `[channels_out]`, where the layer has one.
#[derive(ExtensionType)]
pub enum Bias<B: Backend> {
    None,
    Some(FloatTensor<B>),
}

/// A convolution's output, and its input for what else is computed from it.
#[derive(ExtensionType)]
pub struct OutputAndInput<B: Backend> {
    pub output: FloatTensor<B>,
    pub input: FloatTensor<B>,
}

/// Backends with a kernel, as Burn's dispatcher calls it. `input` is `[n, channels_in, height, width]`, `weight`
/// `[channels_out, channels_in, height, width]`.
#[backend_extension(Flex, Autodiff)]
pub trait ConvBackend: Backend {
    fn convolution(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Bias<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self>;

    fn convolution_and_input(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Bias<Self>,
        options: ConvOptions<2>,
    ) -> OutputAndInput<Self>;
}

/// The kernels of one backend.
pub trait ConvKernels: Backend {
    fn forward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
        options: &ConvOptions<2>,
    ) -> FloatTensor<Self>;

    /// The order of a tensor's values.
    fn format(tensor: &FloatTensor<Self>) -> Option<Format>;

    /// The gradient of an input of `size` pixels, height and width, in the order of the input, with `others` added.
    fn input_gradient(
        size: [usize; 2],
        format: Option<Format>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        others: Option<FloatTensor<Self>>,
        options: &ConvOptions<2>,
    ) -> FloatTensor<Self>;

    /// The gradient of a weight of these sizes.
    fn weight_gradient(
        input: FloatTensor<Self>,
        sizes: [usize; 4],
        gradient: FloatTensor<Self>,
        options: &ConvOptions<2>,
    ) -> FloatTensor<Self>;

    /// The gradient of the bias.
    fn bias_gradient(gradient: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl<B: ConvKernels> ConvBackend for B {
    fn convolution(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Bias<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        B::forward(input, weight, bias.into_option(), &options)
    }

    fn convolution_and_input(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Bias<Self>,
        options: ConvOptions<2>,
    ) -> OutputAndInput<Self> {
        OutputAndInput { output: B::forward(input.clone(), weight, bias.into_option(), &options), input }
    }
}

impl<B: Backend> Bias<B> {
    fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Self::None => None,
            Self::Some(bias) => Some(bias),
        }
    }
}

/// What the backward pass needs of the forward one: what the wanted gradients depend on.
#[derive(Debug, Clone)]
struct Saved<B: Backend> {
    size: [usize; 2],
    format: Option<Format>,
    /// For the weight's gradient.
    input: Option<FloatTensor<B>>,
    weight: FloatTensor<B>,
    options: ConvOptions<2>,
    others: Others<B>,
}

/// The part of the gradient of a convolution's input that comes from what else is computed from it; written in the backward pass, before
/// the convolution's turn.
type Others<B> = Arc<Mutex<Option<FloatTensor<B>>>>;

impl<B: ConvKernels, C: CheckpointStrategy> ConvBackend for Autodiff<B, C> {
    fn convolution(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Bias<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        record(input, weight, bias, options, Others::<B>::default())
    }

    fn convolution_and_input(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Bias<Self>,
        options: ConvOptions<2>,
    ) -> OutputAndInput<Self> {
        let others = Others::<B>::default();
        let output = record(input.clone(), weight, bias, options, others.clone());
        if !input.is_tracked() {
            return OutputAndInput { output, input };
        }
        // As a child of the output too, it has its turn before the convolution.
        let parents = [input.node(), output.node()];
        let input = match Input.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(others, input.into_primitive()),
            OpsKind::UnTracked(prep) => prep.finish(input.into_primitive()),
        };
        OutputAndInput { output, input }
    }
}

fn record<B: ConvKernels, C: CheckpointStrategy>(
    input: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: Bias<Autodiff<B, C>>,
    options: ConvOptions<2>,
    others: Others<B>,
) -> FloatTensor<Autodiff<B, C>> {
    let bias = bias.into_option();
    // The graph wants a fixed number of parents: the input stands in for a bias that is absent.
    let parents = [input.node(), weight.node(), bias.as_ref().unwrap_or(&input).node()];
    let keeps_input = weight.is_tracked();
    let has_bias = bias.as_ref().is_some_and(|bias| bias.is_tracked());
    let (input, weight) = (input.into_primitive(), weight.into_primitive());
    let bias = bias.map(|bias| bias.into_primitive());
    match (Convolution { has_bias }).prepare::<C>(parents).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let shape = input.shape();
            let saved = Saved::<B> {
                size: [shape[2], shape[3]],
                format: B::format(&input),
                input: keeps_input.then(|| input.clone()),
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
    /// Whether the bias asks for a gradient: the third parent is it, and not the input once more.
    has_bias: bool,
}

impl<B: ConvKernels> Backward<B, 3> for Convolution {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let Saved { size, format, input, weight, options, others } = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let [input_node, weight_node, bias_node] = ops.parents;
        if let (Some(node), Some(input)) = (weight_node, input) {
            let shape = weight.shape();
            let sizes = [shape[0], shape[1], shape[2], shape[3]];
            grads.register::<B>(node.id, B::weight_gradient(input, sizes, gradient.clone(), &options));
        }
        if let (Some(node), true) = (bias_node, self.has_bias) {
            grads.register::<B>(node.id, B::bias_gradient(gradient.clone()));
        }
        if let Some(node) = input_node {
            let others = others.lock().unwrap_or_else(PoisonError::into_inner).take();
            grads.register::<B>(node.id, B::input_gradient(size, format, weight, gradient, others, &options));
        }
    }
}

/// The input of a convolution, for what else is computed from it: the convolution adds this gradient to its own.
#[derive(Debug)]
struct Input;

impl<B: ConvKernels> Backward<B, 2> for Input {
    type State = Others<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        *ops.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradient);
    }
}
