//! Convolutions, dense layers and rectifiers for Burn's CPU backend flex, forwards and backwards, written with SIMD through `macerator` (AVX-512, AVX2, NEON).
//!
//! [`conv2d`] computes what a layer of Burn's computes. The layer stays Burn's, with its record and its configuration.
//!
//! ```
//! use burn::nn::conv::Conv2dConfig;
//! use burn::tensor::{Device, Tensor};
//! use burn_flex_conv::conv2d;
//!
//! let device = Device::flex();
//! let layer = Conv2dConfig::new([3, 8], [3, 3]).with_stride([2, 2]).init(&device);
//! assert_eq!(conv2d(&layer, Tensor::ones([4, 3, 9, 9], &device)).dims(), [4, 8, 4, 4]);
//! ```
//!
//! # Memory format
//!
//! Outputs and gradients are tensors `[n, channels, height, width]` that stand in memory with the channels last, as PyTorch's
//! `channels_last` tensors do: a pixel's channels side by side. Burn's operations take them like any other view. Operations that are to
//! be fast on them keep the [order](mod@format).
//!
//! # Accuracy
//!
//! Sums are of single precision, in an order that depends on the sizes of the layer and of its images alone: a sample's values do not
//! depend on the other samples of the batch, nor on the number of threads.
//!
//! Layers with three by three kernels, stride 1 and at least 32 channels on both sides (multiples of 16) are computed by Winograd's minimal
//! filtering, in tiles of 2 × 2 or 4 × 4 outputs, with 2.25 or 4 times fewer multiplications; not those with more than two rows or columns of
//! padding before the image or with fewer than four tiles, and their weights' gradient from 64 channels on. With 64 channels the root mean
//! square of the rounding errors is 4.0e-7 of that of the outputs with direct summation, 2.5e-7 with small tiles and 7.8e-7 with large ones.
//! In three ways tiles differ from direct summation: a NaN or infinite input makes every output of its tiles NaN, not only those that it
//! reaches; inputs beyond about 1e36 overflow; and an output that only zeros reach may be about 1e-7 of what stands in its tile, and not
//! exactly zero.

pub mod activation;
mod flex;
pub mod format;
mod kernels;
pub mod memory;
mod op;
mod packed;
pub mod profile;

use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

/// What `layer.forward(input)` computes, on the CPU backend flex by a kernel of this crate.
///
/// The kernels are taken for single precision, one group, no dilation and padding that is given in numbers. Values differ from Burn's by
/// float rounding, as the [crate's documentation](crate#accuracy) says. Everything else, and every other backend, is left to
/// [`Conv2d::forward`].
///
/// # Shapes
///
/// - `input`: `[n, channels_in, height, width]`
/// - output: `[n, channels_out, height_out, width_out]`
///
/// # Panics
///
/// As [`Conv2d::forward`], where the input does not fit the layer.
pub fn conv2d(layer: &Conv2d, input: Tensor<4>) -> Tensor<4> {
    match op::options(layer, &input) {
        Some(options) => op::conv2d(layer, input, options),
        None => layer.forward(input),
    }
}

/// [`conv2d`], and the input once more for what else is computed from it, such as the shortcut of a residual block.
///
/// # Shapes
///
/// - `input`: `[n, channels_in, height, width]`
/// - output: `[n, channels_out, height_out, width_out]`, and that of the input
///
/// The second tensor is the input. In a backward pass the kernel adds its gradient to that of the convolution's input as it computes it,
/// where Burn would add the two afterwards, on one core. Elsewhere, the input is only cloned.
///
/// ```
/// use burn::nn::conv::Conv2dConfig;
/// use burn::tensor::{Device, Tensor};
/// use burn_flex_conv::conv2d_and_input;
///
/// let device = Device::flex();
/// let layer = Conv2dConfig::new([8, 8], [1, 1]).init(&device);
/// let (output, input) = conv2d_and_input(&layer, Tensor::ones([4, 8, 9, 9], &device));
/// assert_eq!((output + input).dims(), [4, 8, 9, 9]);
/// ```
///
/// # Panics
///
/// As [`conv2d`]; and in a backward pass that reaches the second tensor and not the output too.
pub fn conv2d_and_input(layer: &Conv2d, input: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    match op::options(layer, &input) {
        Some(options) => op::conv2d_and_input(layer, input, options),
        None => (layer.forward(input.clone()), input),
    }
}

/// What `layer.forward(input.flatten(1, D - 1))` computes, on the CPU backend flex by a kernel of this crate: images that stand in memory
/// with the channels last are not copied in the forward pass, and a sample's values do not depend on the other samples.
///
/// The kernel is taken for single precision. Everything else, and every other backend, is left to [`Linear::forward`].
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use burn_flex_conv::linear;
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(3 * 5 * 5, 10).init(&device);
/// assert_eq!(linear(&layer, Tensor::<4>::ones([4, 3, 5, 5], &device)).dims(), [4, 10]);
/// ```
///
/// # Shapes
///
/// - `input`: `[n, ...]`, with as many values of a sample as the layer has inputs
/// - output: `[n, outputs]`
///
/// # Panics
///
/// As [`Linear::forward`], where the input does not fit the layer.
pub fn linear<const D: usize>(layer: &Linear, input: Tensor<D>) -> Tensor<2> {
    let samples = input.dims()[0];
    if !op::takes_linear(layer, &input) {
        return layer.forward(input.flatten::<2>(1, D - 1));
    }
    let values = input.dims()[1..].iter().product();
    op::linear(
        layer,
        match D {
            4 => input.into_dispatch(),
            _ => input.reshape([samples, values, 1, 1]).into_dispatch(),
        },
    )
}

/// What [`relu`](burn::tensor::activation::relu) computes, on the CPU backend flex on all cores, in any [order](mod@format) of the values, and
/// in place where nobody else holds the tensor.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let x = Tensor::<1>::from_data([-1.0, 2.0], &Device::flex());
/// assert_eq!(burn_flex_conv::relu(x).into_data(), [0.0f32, 2.0].into());
/// ```
pub fn relu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    match op::takes(&input) {
        true => op::relu(input),
        false => burn::tensor::activation::relu(input),
    }
}

#[cfg(test)]
mod tests;
