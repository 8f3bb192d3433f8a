use burn::module::Module;
use burn::tensor::Tensor;

/// A model that the [`Trainer`](crate::Trainer) can fine-tune: any Burn module that maps images to logits.
///
/// The model takes images in [0, 1]; normalisation by a mean and standard deviation is its own first step, so
/// that epsilon means the same for every model. Two-wing methods need its batch normalisation layers to be
/// [`TwinsBatchNorm`](twins_nn::TwinsBatchNorm); the others accept every module.
///
/// ```
/// use burn::module::Module;
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use twins_train::TrainableClassifier;
///
/// #[derive(Module, Debug)]
/// struct Flat {
///     linear: Linear,
/// }
///
/// impl TrainableClassifier for Flat {
///     fn logits(&self, images: Tensor<4>) -> Tensor<2> {
///         self.linear.forward(images.flatten(1, 3))
///     }
/// }
///
/// let device = Device::flex();
/// let model = Flat { linear: LinearConfig::new(12, 5).init(&device) };
/// assert_eq!(model.logits(Tensor::zeros([2, 3, 2, 2], &device)).dims(), [2, 5]);
/// ```
pub trait TrainableClassifier: Module {
    /// The logits of a batch of images.
    ///
    /// # Shapes
    ///
    /// - `images`: `[n, channels, height, width]`, values in [0, 1]
    /// - output: `[n, classes]`
    fn logits(&self, images: Tensor<4>) -> Tensor<2>;
}
