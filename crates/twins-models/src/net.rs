//! A classifier of images in [0, 1].

use std::collections::HashMap;

use burn::module::Module;
use burn::nn::LinearConfig;
use burn::tensor::{Device, Tensor};

use crate::architecture::Architecture;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::import::filled;
use crate::initial::Initialise;
use crate::normalisation::Normalisation;
use crate::spec::{Body, BodySpec};
use crate::upsample::upsample_nearest;

/// A network of any [`Architecture`], from images in [0, 1] to logits.
///
/// Up-sampling and normalisation are part of it, so that attacks work on the images themselves.
/// Built by [`ModelConfig::init`].
#[derive(Module, Debug)]
pub struct Net {
    body: Body,
    #[module(skip)]
    spec: BodySpec,
    #[module(skip)]
    config: ModelConfig,
}

impl Net {
    pub(crate) fn new(spec: BodySpec, config: ModelConfig, device: &Device) -> Self {
        let body = Initialise::new(config.seed(), &spec).apply(spec.init(config.num_classes(), device));
        Self { body, spec, config }
    }

    /// Logits of images in [0, 1].
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, channels, height, width]`, see [`Net::input_shape`]
    /// - output: `[batch, classes]`
    ///
    /// # Panics
    ///
    /// Where the images have another number of channels; [`Net::check_input`] tells beforehand.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = images;
        if let Some(size) = self.config.upsampling() {
            x = upsample_nearest(x, size);
        }
        if let Some(normalisation) = self.config.normalisation() {
            x = normalisation.forward(x);
        }
        self.body.forward(x)
    }

    /// Whether the network takes images of that shape `[channels, height, width]`.
    ///
    /// Residual networks average over all pixels and take any size.
    ///
    /// # Errors
    ///
    /// [`ModelError::Channels`] or [`ModelError::ImageSize`].
    pub fn check_input(&self, shape: [usize; 3]) -> Result<(), ModelError> {
        let [expected, _, _] = self.input_shape();
        let [found, height, width] = shape;
        if found != expected {
            return Err(ModelError::Channels { arch: self.architecture(), expected, found });
        }
        self.config.clone().with_image_size([height, width]).check()
    }

    /// Shape `[channels, height, width]` of the images.
    pub fn input_shape(&self) -> [usize; 3] {
        self.config.input_shape()
    }

    /// Number of classes.
    pub fn num_classes(&self) -> usize {
        self.config.num_classes()
    }

    /// The architecture.
    pub fn architecture(&self) -> Architecture {
        self.config.architecture()
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The network with a new last layer for this number of classes; all others keep their weights.
    ///
    /// Weights and biases are drawn from U(−1/√fan-in, 1/√fan-in), as `torch.nn.Linear` does.
    ///
    /// # Errors
    ///
    /// [`ModelError::Classes`] for fewer than two classes.
    pub fn with_new_head(self, classes: usize, seed: u64) -> Result<Self, ModelError> {
        let config = self.config.with_num_classes(classes);
        config.check()?;
        let old = self.body.head();
        let [inputs, _] = old.weight.lazy_shape().dims();
        let layer = LinearConfig::new(inputs, classes).init(&old.weight.lazy_device());
        let head = Initialise::dense(seed, layer);
        Ok(Self { body: self.body.with_head(head), config, spec: self.spec })
    }

    /// The network with another normalisation.
    ///
    /// # Errors
    ///
    /// [`ModelError::NormalisationChannels`] for another number of channels than the network's.
    pub fn with_normalisation(self, normalisation: Normalisation) -> Result<Self, ModelError> {
        let config = self.config.with_normalisation(Some(normalisation));
        config.check()?;
        Ok(Self { config, ..self })
    }

    pub(crate) fn with_config(self, config: ModelConfig) -> Self {
        Self { config, ..self }
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    pub(crate) fn spec(&self) -> &BodySpec {
        &self.spec
    }

    /// The same network with all values at these paths replaced and the others initial: nothing
    /// is shared with this one, whereas clones of a module share their running statistics.
    pub(crate) fn rebuilt(&self, values: HashMap<String, Vec<f32>>) -> Self {
        let device = self.body.head().weight.lazy_device();
        let fresh = Self::new(self.spec.clone(), self.config.clone(), &device);
        Self { body: filled(fresh.body, values), ..fresh }
    }

    pub(crate) fn head_bias_path(&self) -> &'static str {
        match self.body {
            Body::MnistCnn(_) => "fc2.bias",
            Body::ResNet(_) => "head.bias",
        }
    }
}
