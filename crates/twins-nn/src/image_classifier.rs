use burn::module::Module;
use burn::tensor::Tensor;

use crate::HeadError;
use crate::head::only_linear;

/// A module that maps images to logits. Such a model can be fine-tuned.
///
/// The images are in [0, 1]. A model normalises them by a mean and standard deviation in its own first step, so that epsilon
/// means the same for every model.
///
/// A model is `Sync`, like Burn's modules, because attacks call it from several threads at once.
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
pub trait ImageClassifier: Module + Sync {
    /// Computes the logits of a batch of images.
    ///
    /// # Shapes
    ///
    /// - `images`: `[n, channels, height, width]`, values in [0, 1]
    /// - output: `[n, classes]`
    fn logits(&self, images: Tensor<4>) -> Tensor<2>;

    /// Returns the path of the model's head: the layer or module that turns features into logits.
    ///
    /// A linear probe trains only the head, a model for other classes gets a new head, and AutoLoRa adds no branch to the
    /// head. The path consists of field names, with the indices of vectors and the variants of enums, for example `head` or
    /// `blocks.3.fc`. The default is the only `Linear` of the model. A model with several must return the path of its head:
    ///
    /// ```
    /// # use burn::module::Module;
    /// # use burn::nn::{Linear, LinearConfig};
    /// # use burn::tensor::{Device, Tensor};
    /// use twins_nn::{HeadError, ImageClassifier};
    ///
    /// #[derive(Module, Debug)]
    /// struct Net {
    ///     hidden: Linear,
    ///     head: Linear,
    /// }
    ///
    /// impl ImageClassifier for Net {
    ///     fn logits(&self, images: Tensor<4>) -> Tensor<2> {
    ///         self.head.forward(self.hidden.forward(images.flatten(1, 3)))
    ///     }
    ///
    ///     fn head(&self) -> Result<String, HeadError> {
    ///         Ok("head".to_owned())
    ///     }
    /// }
    /// # let linear = || LinearConfig::new(12, 12).init(&Device::flex());
    /// # assert_eq!(Net { hidden: linear(), head: linear() }.head()?, "head");
    /// # Ok::<(), HeadError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`HeadError`] if the default finds no `Linear` or several. Only operations that need the head call this method.
    fn head(&self) -> Result<String, HeadError> {
        only_linear(self)
    }
}
