use std::path::Path;

use burn::tensor::Device;
use twins_data::ImageDataset;
use twins_models::{Architecture, ImportOptions, ModelCard, ModelConfig, ModelError, Net, load_pretrained};

use super::ChosenHead;
use crate::data::Parts;
use crate::error::ExperimentError;
use crate::notice::{Notice, Notify};
use crate::settings::{InitialModel, InputNormalisation};

/// The network that a training starts from.
pub(crate) struct InitialNet {
    pub(crate) net: Net,
    pub(crate) head: ChosenHead,
}

impl InitialNet {
    /// Loads the network or draws its weights. A new head is drawn later, so the network still matches the file.
    pub(crate) fn new(
        model: &InitialModel,
        parts: &Parts,
        seed: u64,
        device: &Device,
        notify: &Notify,
    ) -> Result<Self, ExperimentError> {
        let Some(weights) = &model.weights else {
            let arch = model.arch.ok_or(ExperimentError::NoModel)?;
            let net = model.random_net(arch, parts.train.as_ref(), seed, device)?;
            return Ok(Self { net, head: ChosenHead::Random });
        };
        let card = read_card(weights)?;
        let arch = resolve_architecture(model.arch, card.as_ref(), weights)?;
        let net = model.load(weights, arch, parts.train.as_ref(), device, notify)?;
        let head = ChosenHead::choose(&net, card.as_ref(), parts.train.classes(), model.head);
        parts.warn_of_other_split(card.as_ref(), notify);
        Ok(Self { net, head })
    }
}

impl InitialModel {
    fn random_net(
        &self,
        arch: Architecture,
        images: &dyn ImageDataset,
        seed: u64,
        device: &Device,
    ) -> Result<Net, ExperimentError> {
        let shape @ [_, height, width] = images.image_shape();
        let config = ModelConfig::new(arch, images.classes().len()).with_image_size([height, width]);
        let (config, _) = self.apply(config.with_seed(seed), ImportOptions::new());
        let net = config.init(device)?;
        net.check_input(shape)?;
        Ok(net)
    }

    /// Loads weights for images of the data set's shape.
    ///
    /// # Errors
    ///
    /// Errors of the file, and images of a shape that the network does not accept.
    pub fn load(
        &self,
        weights: &Path,
        arch: Architecture,
        images: &dyn ImageDataset,
        device: &Device,
        notify: &Notify,
    ) -> Result<Net, ExperimentError> {
        let shape @ [_, height, width] = images.image_shape();
        let config = ModelConfig::new(arch, images.classes().len()).with_image_size([height, width]);
        let (config, options) = self.apply(config, ImportOptions::new());
        let (net, report) = load_pretrained(&config, weights, &options, device)?;
        net.check_input(shape)?;
        // A model file may be of a network for images of another size.
        let net = net.with_image_size([height, width])?;
        notify(Notice::Progress(format!(
            "{}: {} entries loaded into {arch}, {} classes, images normalised inside the model: {}",
            weights.display(),
            report.mapped.len(),
            net.num_classes(),
            InputNormalisation(net.config().normalisation().cloned())
        )));
        Ok(net)
    }
}

/// Returns the architecture of weights: the given one, or the one recorded in a model file.
///
/// # Errors
///
/// Neither exists.
pub fn resolve_architecture(
    given: Option<Architecture>,
    card: Option<&ModelCard>,
    weights: &Path,
) -> Result<Architecture, ExperimentError> {
    given.or_else(|| card.map(|card| card.config().architecture())).ok_or_else(|| {
        let known = Architecture::known_names().collect();
        ExperimentError::NoArchitecture { weights: weights.to_owned(), known }
    })
}

/// Reads the card of a model file; `None` for weights of other programs.
///
/// # Errors
///
/// A file, or the card of a model file, that cannot be read.
pub fn read_card(weights: &Path) -> Result<Option<ModelCard>, ModelError> {
    match ModelCard::read(weights) {
        Ok(card) => Ok(Some(card)),
        Err(ModelError::NotAModelFile { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Checks that the labels of the data have the same meaning as the logits of the model.
///
/// # Errors
///
/// The classes of the model and the data differ.
pub fn check_classes(
    card: Option<&ModelCard>,
    weights: &Path,
    net: &Net,
    images: &dyn ImageDataset,
) -> Result<(), ExperimentError> {
    let classes = images.classes();
    if let Some(card) = card {
        return Ok(card.check_classes(weights, classes)?);
    }
    match net.num_classes() == classes.len() {
        true => Ok(()),
        false => Err(ExperimentError::OtherClasses {
            weights: weights.to_owned(),
            model: net.num_classes(),
            data: classes.len(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use twins_data::TensorDataset;
    use twins_models::save_model;

    use super::*;
    use crate::notice::silent;

    #[test]
    fn a_loaded_model_records_the_size_of_the_images_of_the_data() {
        let device = Device::flex();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        for upsampling in [None, Some([64, 64])] {
            let config = ModelConfig::new(Architecture::ResNet8, 2).with_upsampling(upsampling);
            let net = config.init(&device).unwrap();
            save_model(&path, &net, &ModelCard::new(&net, vec!["a".to_owned(), "b".to_owned()]).unwrap())
                .unwrap();
            let shape = [3, 48, 40];
            let images = TensorDataset::from_bytes(shape, vec![0; 2 * 3 * 48 * 40], vec![0, 1]).unwrap();
            let model = InitialModel::from_file(&path);
            let loaded = model.load(&path, Architecture::ResNet8, &images, &device, &silent()).unwrap();
            assert_eq!(loaded.input_shape(), shape);
            assert_eq!(loaded.config().upsampling(), upsampling);
        }
    }
}
