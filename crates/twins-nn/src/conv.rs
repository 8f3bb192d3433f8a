use burn::nn::Linear;
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

/// [`conv2d`], and the input once more for what else is computed from it, such as the shortcut of a residual block.
///
/// The second tensor is the input. On the CPU backend flex its gradient is added to that of the convolution's input by the kernel that
/// computes the latter; elsewhere the input is only cloned.
///
/// # Shapes
///
/// - `input`: `[n, channels_in, height, width]`
/// - output: `[n, channels_out, height_out, width_out]`, and that of the input
///
/// # Panics
///
/// As [`conv2d`]; and in a backward pass that reaches the second tensor and not the output too.
///
/// ```
/// use burn::nn::conv::Conv2dConfig;
/// use burn::tensor::{Device, Tensor};
/// use twins_nn::conv2d_and_input;
///
/// let device = Device::flex();
/// let layer = Conv2dConfig::new([8, 8], [1, 1]).init(&device);
/// let (output, input) = conv2d_and_input(&layer, Tensor::ones([4, 8, 9, 9], &device));
/// assert_eq!((output + input).dims(), [4, 8, 9, 9]);
/// ```
pub fn conv2d_and_input(layer: &Conv2d, input: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    #[cfg(feature = "flex")]
    return burn_flex_conv::conv2d_and_input(layer, input);
    #[cfg(not(feature = "flex"))]
    (layer.forward(input.clone()), input)
}

/// What `layer.forward(input.flatten(1, D - 1))` computes, on the CPU backend flex by a kernel of `burn-flex-conv`, which reads the outputs
/// of [`conv2d`] as they stand in memory.
///
/// # Shapes
///
/// - `input`: `[n, ...]`, with as many values of a sample as the layer has inputs
/// - output: `[n, outputs]`
///
/// # Panics
///
/// As [`Linear::forward`], where the input does not fit the layer.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use twins_nn::linear;
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(3 * 5 * 5, 10).init(&device);
/// assert_eq!(linear(&layer, Tensor::<4>::ones([4, 3, 5, 5], &device)).dims(), [4, 10]);
/// ```
pub fn linear<const D: usize>(layer: &Linear, input: Tensor<D>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    return burn_flex_conv::linear(layer, input);
    #[cfg(not(feature = "flex"))]
    layer.forward(input.flatten::<2>(1, D - 1))
}

/// What [`relu`](burn::tensor::activation::relu) computes, on the CPU backend flex on all cores, and in place where nobody else
/// holds the tensor.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let x = Tensor::<1>::from_data([-1.0, 2.0], &Device::flex());
/// assert_eq!(twins_nn::relu(x).into_data(), [0.0f32, 2.0].into());
/// ```
pub fn relu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    return burn_flex_conv::relu(input);
    #[cfg(not(feature = "flex"))]
    burn::tensor::activation::relu(input)
}
