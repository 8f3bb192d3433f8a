//! Burn's convolution layer by a faster kernel, where there is one.

#[cfg(feature = "flex")]
mod backend;
#[cfg(feature = "flex")]
mod flex;

use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

/// What `layer.forward(input)` computes, on the CPU backend flex by a kernel of ours.
///
/// The layer stays Burn's, with its record and its configuration; a model calls this function in its own `forward`. The
/// kernel is taken for single precision, one group, no dilation and padding that is given in numbers; its sums are of the same products in another order, so that values
/// differ by float rounding. Everything else, and every other backend, is left to [`Conv2d::forward`]. `docs/layer.md` has
/// the measured times.
///
/// # Shapes
///
/// - `input`: `[n, channels_in, height, width]`
/// - output: `[n, channels_out, height_out, width_out]`
///
/// # Panics
///
/// As [`Conv2d::forward`], where the input does not fit the layer.
///
/// ```
/// use burn::nn::conv::Conv2dConfig;
/// use burn::tensor::{Device, Tensor};
/// use twins_nn::conv2d;
///
/// let device = Device::flex();
/// let layer = Conv2dConfig::new([3, 8], [3, 3]).with_stride([2, 2]).init(&device);
/// assert_eq!(conv2d(&layer, Tensor::ones([4, 3, 9, 9], &device)).dims(), [4, 8, 4, 4]);
/// ```
pub fn conv2d(layer: &Conv2d, input: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if let Some(options) = backend::options(layer, &input) {
        return backend::conv2d(layer, input, options);
    }
    layer.forward(input)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
