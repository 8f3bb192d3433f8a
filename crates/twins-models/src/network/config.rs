//! The configuration of a network.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use twins_nn::Affine;

use crate::architectures::architecture::Architecture;
use crate::architectures::shortcuts::Shortcuts;
use crate::architectures::spec::BodySpec;
use crate::error::ModelError;
use crate::network::net::Net;
use crate::network::normalisation::Normalisation;

/// Configuration of a network.
///
/// | field | default | purpose | range |
/// |---|---|---|---|
/// | `architecture` | required | the layers | [`Architecture`] |
/// | `num_classes` | required | logits | ≥ 2 |
/// | `normalisation` | [`Architecture::default_normalisation`] | mean and std inside the model | one value per channel |
/// | `image_size` | the architecture's | height and width of the images | ≥ 1, 28×28 for `mnist-cnn`, ≥ 32 for `convnext-tiny`, multiples of 4 for `dm-wrn` |
/// | `upsampling` | none: that of the imported model file | height and width to which images are enlarged inside the model, by nearest-neighbour interpolation | ≥ `image_size` |
/// | `shortcuts` | none: those of the imported weights, or padded for a new network | shortcuts of a CIFAR ResNet | CIFAR ResNets only |
/// | `affine` | none: the form of the imported model file, or one per wing | whether the two wings share gamma and beta | shared ones with batch normalisation only |
/// | `seed` | 0 | initial weights | any |
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_models::{Architecture, ModelConfig};
///
/// let device = Device::flex();
/// let net = ModelConfig::new(Architecture::ResNet8, 10).init(&device)?;
/// let logits = net.forward(Tensor::zeros([2, 3, 32, 32], &device));
/// assert_eq!(logits.dims(), [2, 10]);
/// # Ok::<(), twins_models::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelConfig {
    /// The layers.
    architecture: Architecture,
    /// The number of logits.
    num_classes: usize,
    /// Mean and standard deviation inside the model; `None` if it takes images in [0, 1] as they are.
    normalisation: Option<Normalisation>,
    /// Height and width of the images in pixels.
    image_size: [usize; 2],
    /// Height and width in pixels to which images are enlarged inside the model; `None` if they are not.
    upsampling: Option<[usize; 2]>,
    /// The shortcuts of a CIFAR ResNet; `None` for those of the weights, or for another network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shortcuts: Option<Shortcuts>,
    /// Whether the two wings share gamma and beta; `None` for the form of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    affine: Option<Affine>,
    /// The seed of the initial weights.
    seed: u64,
}

impl ModelConfig {
    /// Creates the configuration of the published network with this number of classes.
    pub fn new(architecture: Architecture, num_classes: usize) -> Self {
        let [_, height, width] = architecture.input_shape();
        Self {
            architecture,
            num_classes,
            normalisation: architecture.default_normalisation(),
            image_size: [height, width],
            upsampling: None,
            shortcuts: None,
            affine: None,
            seed: 0,
        }
    }

    /// Sets the number of classes.
    pub fn with_num_classes(mut self, num_classes: usize) -> Self {
        self.num_classes = num_classes;
        self
    }

    /// Sets the normalisation inside the model; `None` disables it.
    pub fn with_normalisation(mut self, normalisation: Option<Normalisation>) -> Self {
        self.normalisation = normalisation;
        self
    }

    /// Sets the height and width of the images.
    pub fn with_image_size(mut self, image_size: [usize; 2]) -> Self {
        self.image_size = image_size;
        self
    }

    /// Sets the height and width to which images are enlarged inside the model, by nearest-neighbour interpolation.
    pub fn with_upsampling(mut self, upsampling: Option<[usize; 2]>) -> Self {
        self.upsampling = upsampling;
        self
    }

    /// Takes the size of the images and the up-sampling of another configuration: one is checked with the other.
    pub(crate) fn with_images_of(mut self, other: &Self) -> Self {
        self.image_size = other.image_size;
        self.upsampling = other.upsampling;
        self
    }

    /// Sets the shortcuts of a CIFAR ResNet. With `None`, the default, an import uses those of the file, and a new network gets
    /// [`Shortcuts::Padded`]. If shortcuts are set, an import refuses weights of the other form.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use twins_models::{Architecture, ModelConfig, Shortcuts};
    ///
    /// let config = ModelConfig::new(Architecture::ResNet20, 10).with_shortcuts(Some(Shortcuts::Projected));
    /// let net = config.init(&Device::flex())?;
    /// assert_eq!(net.config().shortcuts(), Some(Shortcuts::Projected));
    /// # Ok::<(), twins_models::ModelError>(())
    /// ```
    pub fn with_shortcuts(mut self, shortcuts: Option<Shortcuts>) -> Self {
        self.shortcuts = shortcuts;
        self
    }

    /// Sets whether each wing of the batch normalisations has its own gamma and beta, or both wings use and train the same ones
    /// ([`Affine::Shared`]). With `None`, the default, an imported model file keeps its form, and other networks have one gamma and beta
    /// per wing. If it is set, an imported network is converted as by [`Net::with_affine`].
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use twins_models::{Architecture, ModelConfig};
    /// use twins_nn::Affine;
    ///
    /// let config = ModelConfig::new(Architecture::ResNet20, 10).with_affine(Some(Affine::Shared));
    /// assert_eq!(config.init(&Device::flex())?.affine(), Affine::Shared);
    /// # Ok::<(), twins_models::ModelError>(())
    /// ```
    pub fn with_affine(mut self, affine: Option<Affine>) -> Self {
        self.affine = affine;
        self
    }

    /// Sets the seed of the initial weights.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The architecture.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Number of classes.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// The normalisation inside the model.
    pub fn normalisation(&self) -> Option<&Normalisation> {
        self.normalisation.as_ref()
    }

    /// The height and width to which images are enlarged inside the model.
    pub fn upsampling(&self) -> Option<[usize; 2]> {
        self.upsampling
    }

    /// The shortcuts of a CIFAR ResNet; `None` for other networks, and if the import chooses them.
    pub fn shortcuts(&self) -> Option<Shortcuts> {
        self.shortcuts
    }

    /// Whether the wings share gamma and beta; `None` if the import decides.
    pub fn affine(&self) -> Option<Affine> {
        self.affine
    }

    /// Shape `[channels, height, width]` of the images.
    pub fn input_shape(&self) -> [usize; 3] {
        let [channels, _, _] = self.architecture.input_shape();
        let [height, width] = self.image_size;
        [channels, height, width]
    }

    /// Seed of the initial weights.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Builds the network.
    ///
    /// Convolutions of residual networks are initialised from He's normal distribution with variance 2 / fan-out (He et al., ICCV 2015).
    /// Dense layers and the MNIST network use PyTorch's default U(−1/√fan-in, 1/√fan-in). ConvNeXt uses a normal distribution with standard
    /// deviation 0.02, and biases of 0. Each weight depends only on the seed and its path, and is drawn when it is first used, so an import
    /// into a new network draws none.
    ///
    /// # Errors
    ///
    /// [`ModelError::WideResNetSize`], [`ModelError::Classes`], [`ModelError::NormalisationChannels`],
    /// [`ModelError::Shortcuts`], [`ModelError::NoBatchNorm`] or [`ModelError::ImageSize`].
    pub fn init(&self, device: &Device) -> Result<Net, ModelError> {
        self.check()?;
        let affine = self.affine.unwrap_or(Affine::PerWing);
        Ok(Net::new(BodySpec::new(self.architecture, self.shortcuts, affine), self.clone(), device))
    }

    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let arch = self.architecture;
        if let Architecture::WideResNet { depth, width }
        | Architecture::DeepMindWideResNet { depth, width, .. } = arch
        {
            Architecture::wide_resnet(depth, width)?;
        }
        if self.num_classes < 2 {
            return Err(ModelError::Classes { found: self.num_classes });
        }
        let [expected, _, _] = arch.input_shape();
        if let Some(found) = self.normalisation.as_ref().map(Normalisation::channels)
            && found != expected
        {
            return Err(ModelError::NormalisationChannels { arch, expected, found });
        }
        if let Some(shortcuts) = self.shortcuts
            && !arch.has_both_shortcuts()
        {
            return Err(ModelError::Shortcuts { arch, shortcuts });
        }
        if self.affine == Some(Affine::Shared) && !arch.has_batch_norm() {
            return Err(ModelError::NoBatchNorm { arch });
        }
        let [height, width] = self.upsampling.unwrap_or(self.image_size);
        let refuse = |remedy| Err(ModelError::ImageSize { arch, height, width, remedy });
        if self.image_size.contains(&0) {
            return refuse("give a height and width of at least 1");
        }
        if height < self.image_size[0] || width < self.image_size[1] {
            return refuse("up-sampling enlarges: give a size of at least the images' own");
        }
        if arch == Architecture::MnistCnn && [height, width] != [28, 28] {
            return refuse("its dense layers need 28x28");
        }
        // The stem and three convolutions between the stages divide by 4, 2, 2 and 2.
        if arch == Architecture::ConvNeXtTiny && height.min(width) < 32 {
            return refuse("it divides them by 32: give at least 32x32, by up-sampling if necessary");
        }
        // A convolution with stride 2 and this padding rounds half of an odd size down, and the shortcut around it rounds it up.
        let multiples_of_4 = height % 4 == 0 && width % 4 == 0;
        if matches!(arch, Architecture::DeepMindWideResNet { .. }) && !multiples_of_4 {
            return refuse("it halves them twice: give multiples of 4, by up-sampling if necessary");
        }
        Ok(())
    }
}
