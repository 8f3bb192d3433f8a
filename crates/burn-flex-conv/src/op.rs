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
    let bias = match &layer.bias {
        Some(bias) => Bias::Some(bias.val().into_dispatch()),
        None => Bias::None,
    };
    let weight = layer.weight.val().into_dispatch();
    Tensor::from_dispatch(Dispatch::convolution(input.into_dispatch(), weight, bias, options))
}

/// The bias, `[channels_out]`, where the layer has one.
#[derive(ExtensionType)]
pub enum Bias<B: Backend> {
    None,
    Some(FloatTensor<B>),
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

    /// The gradient of an input of `size` pixels, height and width, in the order of the input.
    fn input_gradient(
        size: [usize; 2],
        format: Option<Format>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
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
}

impl<B: ConvKernels, C: CheckpointStrategy> ConvBackend for Autodiff<B, C> {
    fn convolution(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Bias<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
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
                };
                prep.finish(saved, B::forward(input, weight, bias, &options))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::forward(input, weight, bias, &options)),
        }
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
        let Saved { size, format, input, weight, options } = ops.state;
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
            grads.register::<B>(node.id, B::input_gradient(size, format, weight, gradient, &options));
        }
    }
}
