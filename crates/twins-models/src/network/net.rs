//! A classifier of images in [0, 1].

use std::collections::HashMap;

use burn::module::Module;
use burn::nn::LinearConfig;
use burn::tensor::{Device, Tensor};
use twins_nn::{Affine, HeadError, ImageClassifier};

use crate::architectures::architecture::Architecture;
use crate::architectures::naming::Naming;
use crate::architectures::shortcuts::Shortcuts;
use crate::architectures::spec::{Body, BodySpec, namings};
use crate::error::ModelError;
use crate::network::config::ModelConfig;
use crate::network::initial::Initialise;
use crate::network::normalisation::Normalisation;
use crate::network::slots::{filled, slots, values};
use crate::network::upsample::upsample_nearest;

/// A network of any [`Architecture`], from images in [0, 1] to logits.
///
/// Up-sampling and normalisation are part of the network, so that attacks perturb the images themselves. [`ModelConfig::init`] builds it.
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

    /// Computes the logits of images in [0, 1].
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, channels, height, width]`, see [`Net::input_shape`]
    /// - output: `[batch, classes]`
    ///
    /// # Panics
    ///
    /// If the number of channels of the images is wrong; [`Net::check_input`] checks it beforehand.
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

    /// Checks that the network accepts images of shape `[channels, height, width]`.
    ///
    /// Residual networks average over all pixels and accept any size, but `dm-wrn` only multiples of 4.
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

    /// Returns the network with a new last layer for this number of classes; all other layers keep their weights.
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

    /// Returns the network with another normalisation.
    ///
    /// # Errors
    ///
    /// [`ModelError::NormalisationChannels`] if the number of channels differs from the network's.
    pub fn with_normalisation(self, normalisation: Normalisation) -> Result<Self, ModelError> {
        let config = self.config.with_normalisation(Some(normalisation));
        config.check()?;
        Ok(Self { config, ..self })
    }

    /// Returns the network with another height and width of the images in its configuration; no weights change.
    ///
    /// # Errors
    ///
    /// [`ModelError::ImageSize`] if the network does not accept images of that size.
    pub fn with_image_size(self, image_size: [usize; 2]) -> Result<Self, ModelError> {
        let config = self.config.with_image_size(image_size);
        config.check()?;
        Ok(Self { config, ..self })
    }

    /// Whether each wing of the batch normalisations has its own gamma and beta.
    pub fn affine(&self) -> Affine {
        self.spec.affine()
    }

    /// Returns the network with one gamma and beta per wing, or with shared ones that both wings use and train ([`Affine::Shared`]).
    ///
    /// [`Affine::Shared`] keeps gamma and beta of the adaptive wing and drops those of the frozen wing; [`Affine::PerWing`] copies them to
    /// the frozen wing. The result uses the wing of a newly initialised network. A model file keeps the form.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use twins_models::{Architecture, ModelConfig};
    /// use twins_nn::Affine;
    ///
    /// let net = ModelConfig::new(Architecture::ResNet8, 10).init(&Device::flex())?;
    /// assert_eq!(net.affine(), Affine::PerWing);
    /// assert_eq!(net.with_affine(Affine::Shared)?.affine(), Affine::Shared);
    /// # Ok::<(), twins_models::ModelError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ModelError::NoBatchNorm`] for [`Affine::Shared`] in a network without batch normalisation.
    pub fn with_affine(self, affine: Affine) -> Result<Self, ModelError> {
        let config = self.config.clone().with_affine(Some(affine));
        config.check()?;
        if self.affine() == affine {
            return Ok(Self { config, ..self });
        }
        let mut own = self.own_values();
        let device = self.body.head().weight.lazy_device();
        let fresh = Self::new(self.spec.with_affine(affine), config, &device);
        for slot in slots(&fresh.body) {
            if let (false, Some(adaptive)) = (own.contains_key(&slot.path), slot.adaptive_path())
                && let Some(copy) = own.get(&adaptive).cloned()
            {
                own.insert(slot.path, copy);
            }
        }
        Ok(Self { body: filled(fresh.body, own), ..fresh })
    }

    /// All values by path, with the running statistics of all batches including the last.
    fn own_values(&self) -> HashMap<String, Vec<f32>> {
        values(&self.body.valid()).into_iter().map(|(path, data)| (path, data.iter().collect())).collect()
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

    /// Builds the same network anew, with these values at their paths and initial values elsewhere. Unlike a clone, which shares running
    /// statistics, it shares nothing with this network.
    pub(crate) fn rebuilt(&self, values: HashMap<String, Vec<f32>>) -> Self {
        let device = self.body.head().weight.lazy_device();
        let fresh = Self::new(self.spec.clone(), self.config.clone(), &device);
        Self { body: filled(fresh.body, values), ..fresh }
    }

    /// The layers that the network would have with these shortcuts, with initial values that are not drawn yet.
    pub(crate) fn body_with(&self, shortcuts: Shortcuts) -> Body {
        let device = self.body.head().weight.lazy_device();
        self.spec.clone().with_shortcuts(shortcuts).init(self.num_classes(), &device)
    }

    /// Returns the network with these shortcuts. Layers that both forms have keep their values, and projections are newly initialised.
    pub(crate) fn with_shortcuts(self, shortcuts: Shortcuts) -> Self {
        let device = self.body.head().weight.lazy_device();
        let own = self.own_values();
        let config = self.config.with_shortcuts(Some(shortcuts));
        let fresh = Self::new(self.spec.with_shortcuts(shortcuts), config, &device);
        Self { body: filled(fresh.body, own), ..fresh }
    }

    /// The naming schemes of published checkpoints for this network; exports use the first one.
    pub(crate) fn namings(&self) -> &'static [Naming] {
        namings(self.architecture(), self.config.shortcuts())
    }

    pub(crate) fn head_bias_path(&self) -> String {
        format!("{}.bias", self.body.head_field())
    }
}

impl ImageClassifier for Net {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images)
    }

    fn head(&self) -> Result<String, HeadError> {
        Ok(format!("body.{}.{}", self.body.variant(), self.body.head_field()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use burn::module::{ModuleVisitor, Param};
    use twins_nn::{TwinsModule, Wing};

    use super::*;

    fn net() -> Net {
        ModelConfig::new(Architecture::ResNet8, 10).init(&Device::flex()).unwrap()
    }

    #[test]
    fn a_new_head_is_seeded_and_leaves_the_other_layers() {
        let old = net();
        let new = old.clone().with_new_head(3, 7).unwrap();
        assert_eq!(new.num_classes(), 3);
        assert_eq!(new.forward(Tensor::zeros([2, 3, 32, 32], &Device::flex())).dims(), [2, 3]);
        let (before, after) = (values(old.body()), values(new.body()));
        for (path, value) in before.iter().filter(|(path, _)| !path.starts_with("head.")) {
            assert_eq!(Some(value), after.get(path), "{path}");
        }
        // 1 / √64
        let bound = 0.125;
        for path in ["head.weight", "head.bias"] {
            let drawn = after[path].try_to_vec::<f32>().unwrap();
            assert!(drawn.iter().all(|value| value.abs() <= bound && *value != 0.0), "{path}");
        }
        assert_eq!(values(old.clone().with_new_head(3, 7).unwrap().body()), after);
        assert_ne!(values(old.with_new_head(3, 8).unwrap().body()), after);
    }

    /// The shapes of the parameters under a path.
    fn shapes_under(net: &Net, prefix: &str) -> Vec<Vec<usize>> {
        struct Under {
            prefix: String,
            path: Vec<String>,
            shapes: Vec<Vec<usize>>,
        }

        impl ModuleVisitor for Under {
            fn enter_module(&mut self, name: &str, _container: &str) {
                self.path.push(name.to_owned());
            }

            fn exit_module(&mut self, _name: &str, _container: &str) {
                self.path.pop();
            }

            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if self.path[..self.path.len() - 1].join(".") == self.prefix {
                    self.shapes.push(param.lazy_shape().to_vec());
                }
            }
        }

        let mut under = Under { prefix: prefix.to_owned(), path: Vec::new(), shapes: Vec::new() };
        net.visit(&mut under);
        under.shapes
    }

    #[test]
    fn every_network_names_the_layer_that_a_new_head_replaces() {
        for arch in [
            Architecture::MnistCnn,
            Architecture::ResNet8,
            Architecture::ResNet50,
            Architecture::ConvNeXtTiny,
        ] {
            let net = ModelConfig::new(arch, 10).init(&Device::flex()).unwrap();
            let path = net.head().unwrap();
            let inputs = net.body().head().weight.lazy_shape()[0];
            assert_eq!(shapes_under(&net, &path), [vec![inputs, 10], vec![10]], "{arch}: {path}");
            let net = net.with_new_head(3, 0).unwrap();
            assert_eq!(shapes_under(&net, &path), [vec![inputs, 3], vec![3]], "{arch}: {path}");
        }
    }

    #[test]
    fn a_new_head_on_a_tracked_network_is_tracked() {
        let device = Device::flex().autodiff();
        let net = ModelConfig::new(Architecture::MnistCnn, 10).init(&device).unwrap();
        let net = net.with_new_head(2, 0).unwrap();
        let grads = net.forward(Tensor::ones([1, 1, 28, 28], &device)).sum().backward();
        assert!(net.body().head().weight.val().grad(&grads).is_some());
    }

    /// The gradients of the logits' weighted sum at every gamma and beta, by path.
    fn affine_gradients(net: &Net, images: Tensor<4>, weights: Tensor<2>) -> BTreeMap<String, Vec<f32>> {
        struct Gradients<'g> {
            of: &'g burn::tensor::Gradients,
            path: Vec<String>,
            found: BTreeMap<String, Vec<f32>>,
        }

        impl ModuleVisitor for Gradients<'_> {
            fn enter_module(&mut self, name: &str, _container: &str) {
                self.path.push(name.to_owned());
            }

            fn exit_module(&mut self, _name: &str, _container: &str) {
                self.path.pop();
            }

            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let name = self.path.last().map(String::as_str).unwrap_or_default();
                if name.ends_with("gamma") || name.ends_with("beta") {
                    let gradient = param.val().grad(self.of).map(|gradient| gradient.into_data());
                    let values = gradient.map(|data| data.try_to_vec::<f32>().unwrap());
                    self.found.insert(self.path.join("."), values.unwrap_or_default());
                }
            }
        }

        let gradients = (net.forward(images) * weights).sum().backward();
        let mut visitor = Gradients { of: &gradients, path: Vec::new(), found: BTreeMap::new() };
        net.visit(&mut visitor);
        visitor.found
    }

    #[test]
    fn both_wings_gradients_accumulate_in_a_shared_gamma() {
        let device = Device::flex().autodiff();
        let config = ModelConfig::new(Architecture::TinyResNet, 3);
        let net = config.init(&device).unwrap();
        let draw = |count: usize, shift: usize| -> Vec<f32> {
            (0..count).map(|i| ((i * 37 + shift) % 101) as f32 / 101.0).collect()
        };
        let images =
            Tensor::<1>::from_floats(draw(4 * 3 * 32 * 32, 5).as_slice(), &device).reshape([4, 3, 32, 32]);
        let weights = Tensor::<1>::from_floats(draw(12, 1).as_slice(), &device).reshape([4, 3]);
        let half = |wing, first: usize| {
            let images = images.clone().narrow(0, first, 2);
            affine_gradients(&net.clone().with_wing(wing), images, weights.clone().narrow(0, first, 2))
        };
        let (frozen, adaptive) = (half(Wing::Frozen, 0), half(Wing::AdaptiveTraining, 2));
        let split = |net: Net| affine_gradients(&net.with_wing(Wing::Split), images.clone(), weights.clone());
        let per_wing = split(net.clone());
        let shared = split(net.clone().with_affine(Affine::Shared).unwrap());
        // 7 layers with a gamma and a beta: per wing, and shared.
        assert_eq!((per_wing.len(), shared.len()), (28, 14));
        // Rounding of sums over up to 2 · 16 · 16 values of order 1, through seven layers.
        let close = |a: &[f32], b: &[f32], path: &str| {
            let largest = b.iter().fold(1e-3f32, |most, value| most.max(value.abs()));
            assert!(a.len() == b.len() && !a.is_empty(), "{path}");
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * largest), "{path}: {a:?} {b:?}");
        };
        for (path, gradient) in &shared {
            let (layer, field) = path.rsplit_once('.').unwrap();
            let of_frozen = &frozen[&format!("{layer}.frozen_{field}")];
            let sum: Vec<f32> = of_frozen.iter().zip(&adaptive[path]).map(|(a, b)| a + b).collect();
            close(gradient, &sum, path);
            close(&per_wing[path], &adaptive[path], path);
            close(&per_wing[&format!("{layer}.frozen_{field}")], of_frozen, path);
            assert!(of_frozen.iter().any(|value| value.abs() > 1e-3), "the frozen wing takes part: {path}");
        }
    }

    #[test]
    fn initial_weights_depend_on_the_seed_alone() {
        let build = |seed| {
            let config = ModelConfig::new(Architecture::ResNet8, 10).with_seed(seed);
            values(config.init(&Device::flex()).unwrap().body())
        };
        assert_eq!(build(1), build(1));
        assert_ne!(build(1), build(2));
    }

    #[test]
    fn images_of_another_shape_are_refused_beforehand() {
        let message = net().check_input([1, 28, 28]).unwrap_err().to_string();
        assert!(message.contains("resnet8 takes images of 3 channels, these have 1"), "{message}");
        assert!(net().check_input([3, 48, 64]).is_ok());
        let mnist = ModelConfig::new(Architecture::MnistCnn, 10).init(&Device::flex()).unwrap();
        let message = mnist.check_input([1, 32, 32]).unwrap_err().to_string();
        assert!(message.contains("28x28"), "{message}");
        let convnext = ModelConfig::new(Architecture::ConvNeXtTiny, 10).init(&Device::flex()).unwrap();
        assert!(convnext.check_input([3, 32, 48]).is_ok());
        let message = convnext.check_input([3, 48, 31]).unwrap_err().to_string();
        assert!(message.contains("convnext-tiny cannot take 48x31 images"), "{message}");
        let config = ModelConfig::new("dm-wrn-10-1".parse().unwrap(), 2);
        let deepmind = config.init(&Device::flex()).unwrap();
        assert!(deepmind.check_input([3, 28, 36]).is_ok());
        assert_eq!(deepmind.forward(Tensor::zeros([1, 3, 28, 36], &Device::flex())).dims(), [1, 2]);
        for [height, width] in [[30, 32], [32, 31]] {
            let message = deepmind.check_input([3, height, width]).unwrap_err().to_string();
            assert!(
                message.contains(&format!("cannot take {height}x{width} images: it halves them twice")),
                "{message}"
            );
        }
        assert!(
            config.with_image_size([30, 30]).with_upsampling(Some([32, 32])).init(&Device::flex()).is_ok()
        );
    }

    #[test]
    fn configurations_that_cannot_be_built_are_refused() {
        let device = Device::flex();
        let config = ModelConfig::new(Architecture::ResNet8, 10);
        assert!(matches!(
            config.clone().with_num_classes(1).init(&device),
            Err(ModelError::Classes { found: 1 })
        ));
        let wide = ModelConfig::new(Architecture::WideResNet { depth: 3, width: 1 }, 10);
        assert!(matches!(wide.init(&device), Err(ModelError::WideResNetSize { depth: 3, width: 1 })));
        let grey = Normalisation::new(vec![0.5], vec![0.5]).unwrap();
        assert!(matches!(
            config.clone().with_normalisation(Some(grey)).init(&device),
            Err(ModelError::NormalisationChannels { expected: 3, found: 1, .. })
        ));
        let shrunk = config.clone().with_upsampling(Some([16, 16]));
        assert!(matches!(shrunk.init(&device), Err(ModelError::ImageSize { .. })));
        assert!(config.with_image_size([0, 32]).init(&device).is_err());
        let shortcuts = ModelConfig::new(Architecture::ResNet18, 10).with_shortcuts(Some(Shortcuts::Padded));
        let message = shortcuts.init(&device).unwrap_err().to_string();
        assert!(message.contains("resnet18 has no choice of shortcuts, padded ones"), "{message}");
    }
}
