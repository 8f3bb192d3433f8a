//! The operations in the form that Burn's autodiff graph and dispatcher use.

mod convolution;
mod dense;
mod parents;
mod relu;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, ExtensionType, backend_extension};
use burn::module::Param;
use burn::nn::conv::Conv2d;
use burn::nn::{Linear, PaddingConfig2d};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, Tensor};

use crate::format::Format;

/// Returns the layer's options if the kernel supports the layer and this input.
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
        && layer.weight.dtype() == DType::F32
        && takes(input)
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
    (layer.weight.val().into_dispatch(), Bias::of(&layer.bias))
}

/// Whether the kernel supports the layer and this input of any rank.
pub(crate) fn takes_linear<const D: usize>(layer: &Linear, input: &Tensor<D>) -> bool {
    let values = input.dims()[1..].iter().product::<usize>();
    values > 0 && layer.weight.dtype() == DType::F32 && takes(input) && layer.weight.dims()[0] == values
}

/// `input` is `[n, channels, height, width]`.
pub(crate) fn linear(layer: &Linear, input: FloatTensor<Dispatch>) -> Tensor<2> {
    let weight = layer.weight.val().into_dispatch();
    Tensor::from_dispatch(Dispatch::dense(input, weight, Bias::of(&layer.bias)))
}

/// Whether there are kernels for the device and precision.
pub(crate) fn takes<const D: usize>(input: &Tensor<D>) -> bool {
    input.dtype() == DType::F32 && input.device().inner() == Device::flex()
}

pub(crate) fn relu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::rectified(input.into_dispatch()))
}

/// The bias, `[channels_out]`, if the layer has one.
#[derive(ExtensionType)]
pub enum Bias<B: Backend> {
    None,
    Some(FloatTensor<B>),
}

/// A convolution's output, and its input for other uses.
#[derive(ExtensionType)]
pub struct OutputAndInput<B: Backend> {
    pub output: FloatTensor<B>,
    pub input: FloatTensor<B>,
}

/// A backend with kernels, in the form in which Burn's dispatcher calls them.
///
/// `input` is `[n, channels_in, height, width]`, and `weight` is `[channels_out, channels_in, height, width]`.
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

    /// A dense layer with weights `[channels_in · height · width, outputs]`.
    fn dense(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Bias<Self>,
    ) -> FloatTensor<Self>;

    /// ReLU on a tensor of any rank.
    fn rectified(input: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Weights, and whether they are constant. Weights that are being trained are not worth keeping in packed form.
#[derive(Clone, Debug)]
pub struct Weights<B: Backend> {
    pub values: FloatTensor<B>,
    pub are_constant: bool,
}

/// The kernels of one backend.
pub trait ConvKernels: Backend {
    fn forward(
        input: FloatTensor<Self>,
        weight: Weights<Self>,
        bias: Option<FloatTensor<Self>>,
        options: &ConvOptions<2>,
    ) -> FloatTensor<Self>;

    /// The order of a tensor's values.
    fn format(tensor: &FloatTensor<Self>) -> Option<Format>;

    /// Computes the gradient of an input with `size` pixels, height and width, in the order of the input, and adds
    /// `others` to it.
    fn input_gradient(
        size: [usize; 2],
        format: Option<Format>,
        weight: Weights<Self>,
        gradient: FloatTensor<Self>,
        others: Option<FloatTensor<Self>>,
        options: &ConvOptions<2>,
    ) -> FloatTensor<Self>;

    /// Computes the gradient of a weight of these sizes.
    fn weight_gradient(
        input: FloatTensor<Self>,
        sizes: [usize; 4],
        gradient: FloatTensor<Self>,
        options: &ConvOptions<2>,
    ) -> FloatTensor<Self>;

    /// Computes the gradient of the bias from that of outputs `[n, channels_out, height, width]` or `[n, outputs]`.
    fn bias_gradient(gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Returns the outputs, `[n, outputs]`.
    fn dense_forward(
        input: FloatTensor<Self>,
        weight: Weights<Self>,
        bias: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self>;

    /// Computes the gradient of an input with these numbers of channels, rows and columns, in the order of the input.
    fn dense_input_gradient(
        size: [usize; 3],
        format: Option<Format>,
        weight: Weights<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn dense_weight_gradient(input: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    fn rectify(input: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Computes the gradient of the input from the output and its gradient.
    fn rectify_gradient(output: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl<B: Backend> Weights<B> {
    fn constant(values: FloatTensor<B>) -> Self {
        Self { values, are_constant: true }
    }

    pub(crate) fn map(self, change: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>) -> Self {
        Self { values: change(self.values), ..self }
    }
}

impl<B: ConvKernels> ConvBackend for B {
    fn convolution(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Bias<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        B::forward(input, Weights::constant(weight), bias.into_option(), &options)
    }

    fn convolution_and_input(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Bias<Self>,
        options: ConvOptions<2>,
    ) -> OutputAndInput<Self> {
        OutputAndInput {
            output: B::forward(input.clone(), Weights::constant(weight), bias.into_option(), &options),
            input,
        }
    }

    fn dense(input: FloatTensor<Self>, weight: FloatTensor<Self>, bias: Bias<Self>) -> FloatTensor<Self> {
        B::dense_forward(input, Weights::constant(weight), bias.into_option())
    }

    fn rectified(input: FloatTensor<Self>) -> FloatTensor<Self> {
        B::rectify(input)
    }
}

impl Bias<Dispatch> {
    fn of(bias: &Option<Param<Tensor<1>>>) -> Self {
        bias.as_ref().map_or(Self::None, |bias| Self::Some(bias.val().into_dispatch()))
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

impl<B: ConvKernels, C: CheckpointStrategy> ConvBackend for Autodiff<B, C> {
    fn convolution(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Bias<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        convolution::record(input, weight, bias, options, None)
    }

    fn convolution_and_input(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Bias<Self>,
        options: ConvOptions<2>,
    ) -> OutputAndInput<Self> {
        convolution::record_with_input(input, weight, bias, options)
    }

    fn dense(input: FloatTensor<Self>, weight: FloatTensor<Self>, bias: Bias<Self>) -> FloatTensor<Self> {
        dense::record(input, weight, bias)
    }

    fn rectified(input: FloatTensor<Self>) -> FloatTensor<Self> {
        relu::record::<B, C>(input)
    }
}
