use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;

/// Computes `layer.forward(input)`, with the kernels of `burn-flex-conv` on the CPU backend flex.
///
/// Call this function in a model's `forward`. On other backends, and for layers that the kernels do not support, it calls Burn's own
/// convolution. `docs/layer.md` has the measured times.
///
/// # Shapes
///
/// - `input`: `[n, channels_in, height, width]`
/// - output: `[n, channels_out, height_out, width_out]`
///
/// # Panics
///
/// The same as [`Conv2d::forward`], if the input does not fit the layer.
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

/// Computes [`conv2d`], and also returns the input for further use, such as the shortcut of a residual block.
///
/// The second tensor of the result is the input. On the CPU backend flex, the kernel that computes the gradient of the convolution's input
/// also adds the gradient of this second tensor to it. On other backends the input is only cloned.
///
/// # Shapes
///
/// - `input`: `[n, channels_in, height, width]`
/// - output: `[n, channels_out, height_out, width_out]`, and the input with its own shape
///
/// # Panics
///
/// The same as [`conv2d`]. A backward pass that reaches the second tensor but not the output also panics.
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

/// Computes `layer.forward(input.flatten(1, D - 1))`, with a kernel of `burn-flex-conv` on the CPU backend flex.
///
/// The kernel reads the outputs of [`conv2d`] in their memory order, without a copy.
///
/// # Shapes
///
/// - `input`: `[n, ...]`, with as many values per sample as the layer has inputs
/// - output: `[n, outputs]`
///
/// # Panics
///
/// The same as [`Linear::forward`], if the input does not fit the layer.
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

/// Computes [`relu`](burn::tensor::activation::relu).
///
/// On the CPU backend flex it uses all cores, and works in place if no other tensor shares the memory.
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
