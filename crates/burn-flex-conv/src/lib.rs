//! Convolutions, dense layers and ReLU for Burn's CPU backend flex, with their gradients.
//!
//! The kernels use SIMD through `macerator` (AVX-512, AVX2, NEON). [`conv2d`] computes the same as a layer of Burn. The layer itself
//! remains Burn's, with its record and its configuration.
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
//! Outputs and gradients are tensors `[n, channels, height, width]` that are stored with the channels last, like PyTorch's `channels_last`
//! tensors: the channels of a pixel are contiguous. Burn's operations accept them like any other view. Operations that should be fast on
//! such tensors must keep the [order](mod@format).
//!
//! # Accuracy
//!
//! Sums are in single precision. Their order depends only on the sizes of the layer and of its images, so the values of a sample do not
//! depend on the other samples of the batch or on the number of threads.
//!
//! Layers with 3 × 3 kernels, stride 1 and at least 32 channels on both sides (multiples of 16) use Winograd's minimal filtering, in tiles
//! of 2 × 2 or 4 × 4 outputs, with 2.25 or 4 times fewer multiplications. The gradient of the weights uses it from 64 channels on. Layers
//! with more than two rows or columns of padding before the image, or with fewer than four tiles, use direct summation.
//!
//! With 64 channels, the root mean square of the rounding errors, relative to that of the outputs, is 4.0e-7 for direct summation, 2.5e-7
//! for small tiles and 7.8e-7 for large tiles. Tiles differ from direct summation in three ways:
//!
//! - a NaN or infinite input makes every output of its tiles NaN, not only the outputs that depend on it;
//! - inputs beyond about 1e36 overflow;
//! - an output that depends only on zeros may be about 1e-7 times the values in its tile instead of exactly zero.

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

/// Computes `layer.forward(input)`, with a kernel of this crate on the CPU backend flex.
///
/// The kernels support single precision, one group, no dilation, and padding that is given in numbers. Values differ from Burn's by float
/// rounding, as the [crate's documentation](crate#accuracy) describes. For all other layers and backends, the function calls
/// [`Conv2d::forward`].
///
/// # Shapes
///
/// - `input`: `[n, channels_in, height, width]`
/// - output: `[n, channels_out, height_out, width_out]`
///
/// # Panics
///
/// The same as [`Conv2d::forward`], if the input does not fit the layer.
pub fn conv2d(layer: &Conv2d, input: Tensor<4>) -> Tensor<4> {
    match op::options(layer, &input) {
        Some(options) => op::conv2d(layer, input, options),
        None => layer.forward(input),
    }
}

/// Computes [`conv2d`], and also returns the input for further use, such as the shortcut of a residual block.
///
/// # Shapes
///
/// - `input`: `[n, channels_in, height, width]`
/// - output: `[n, channels_out, height_out, width_out]`, and the input with its own shape
///
/// The second tensor of the result is the input. In a backward pass, the kernel that computes the gradient of the convolution's input also
/// adds the gradient of this second tensor. Burn would add the two afterwards, on one core. On other backends the input is only cloned.
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
/// The same as [`conv2d`]. A backward pass that reaches the second tensor but not the output also panics.
pub fn conv2d_and_input(layer: &Conv2d, input: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    match op::options(layer, &input) {
        Some(options) => op::conv2d_and_input(layer, input, options),
        None => (layer.forward(input.clone()), input),
    }
}

/// Computes `layer.forward(input.flatten(1, D - 1))`, with a kernel of this crate on the CPU backend flex.
///
/// Images that are stored with the channels last are not copied in the forward pass, and the values of a sample do not depend on the other
/// samples. The kernel supports single precision. For other precisions and backends, the function calls [`Linear::forward`].
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
/// - `input`: `[n, ...]`, with as many values per sample as the layer has inputs
/// - output: `[n, outputs]`
///
/// # Panics
///
/// The same as [`Linear::forward`], if the input does not fit the layer.
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

/// Computes [`relu`](burn::tensor::activation::relu).
///
/// On the CPU backend flex it uses all cores, keeps the [order](mod@format) of the values, and works in place if no other tensor shares the
/// memory.
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
