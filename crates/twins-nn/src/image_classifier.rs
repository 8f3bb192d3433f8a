use burn::module::Module;
use burn::tensor::Tensor;

/// A module that maps images to logits: what can be fine-tuned.
///
/// The images are in [0, 1]; normalisation by a mean and standard deviation is the model's own first step, so
/// that epsilon means the same for every model. It stands here, below the models and the trainer, so that
/// neither has to know the other.
///
/// ```
/// use burn::module::Module;
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use twins_nn::ImageClassifier;
///
/// #[derive(Module, Debug)]
/// struct Flat {
///     linear: Linear,
/// }
///
/// impl ImageClassifier for Flat {
///     fn logits(&self, images: Tensor<4>) -> Tensor<2> {
///         self.linear.forward(images.flatten(1, 3))
///     }
/// }
///
/// let device = Device::flex();
/// let model = Flat { linear: LinearConfig::new(12, 5).init(&device) };
/// assert_eq!(model.logits(Tensor::zeros([2, 3, 2, 2], &device)).dims(), [2, 5]);
/// ```
pub trait ImageClassifier: Module {
    /// The logits of a batch of images.
    ///
    /// # Shapes
    ///
    /// - `images`: `[n, channels, height, width]`, values in [0, 1]
    /// - output: `[n, classes]`
    fn logits(&self, images: Tensor<4>) -> Tensor<2>;
}
