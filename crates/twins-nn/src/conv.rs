use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

/// What `layer.forward(input)` computes, on the CPU backend flex by the kernels of `burn-flex-conv`.
///
/// A model calls this function in its own `forward`. Everywhere else, and for what those kernels do not take, it is Burn's own
/// convolution. `docs/layer.md` has the measured times.
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
    return burn_flex_conv::conv2d(layer, input);
    #[cfg(not(feature = "flex"))]
    layer.forward(input)
}
