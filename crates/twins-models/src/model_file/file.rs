//! Saving and loading model files.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;

use crate::error::ModelError;
use crate::export::weights::{Wings, write, write_error};
use crate::import::checkpoint::Checkpoint;
use crate::import::load::import;
use crate::import::options::ImportOptions;
use crate::import::safetensors_file;
use crate::model_file::card::{CARD, ModelCard};
use crate::network::net::Net;

/// Saves a network with both wings and its card.
///
/// The file is in safetensors format. Its entries have the names of the published PyTorch networks, with the prefix
/// `frozen_` before the last part for the frozen wing, and dense weights are `[out, in]`. The file is written under a
/// temporary name and then renamed, so a crash leaves the old file or none. Missing folders are created. The same
/// network and card produce the same bytes.
///
/// # Errors
///
/// [`ModelError::Write`]; [`ModelError::ClassNames`] if the card belongs to another model.
pub fn save_model(path: impl AsRef<Path>, net: &Net, card: &ModelCard) -> Result<(), ModelError> {
    if card.config().num_classes() != net.num_classes() {
        let found = card.config().num_classes();
        return Err(ModelError::ClassNames { found, expected: net.num_classes() });
    }
    let card = card.clone().with_config(net.config().clone());
    let json = serde_json::to_string(&card).map_err(|error| write_error(path.as_ref(), error.into()))?;
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned()), (CARD.to_owned(), json)]);
    write(path.as_ref(), net, Wings::Both, metadata)
}

/// Loads a network that [`save_model`] wrote, ready for inference on devices without autodiff.
///
/// ```
/// use burn::tensor::Device;
/// use twins_models::{Architecture, ModelCard, ModelConfig, load_model, save_model};
///
/// let device = Device::flex();
/// let net = ModelConfig::new(Architecture::MnistCnn, 2).init(&device)?;
/// let card = ModelCard::new(&net, vec!["odd".into(), "even".into()])?;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("parity.safetensors");
/// save_model(&path, &net, &card)?;
///
/// let (loaded, card) = load_model(&path, &device)?;
/// assert_eq!(loaded.num_classes(), 2);
/// assert_eq!(card.classes(), ["odd", "even"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`ModelError::NotAModelFile`] for a file without a card, [`ModelError::DamagedCard`], and the errors of
/// [`load_weights`](crate::load_weights).
pub fn load_model(path: impl AsRef<Path>, device: &Device) -> Result<(Net, ModelCard), ModelError> {
    load(&Checkpoint::open(path.as_ref())?, device)
}

/// Loads a network from the content of a file that [`save_model`] wrote. This is [`load_model`] for programs that cannot
/// open files, such as WebAssembly in a browser.
///
/// Errors name the file by `name`.
///
/// ```
/// use burn::tensor::Device;
/// use twins_models::{Architecture, ModelCard, ModelConfig, load_model_from_bytes, save_model};
///
/// let device = Device::flex();
/// let net = ModelConfig::new(Architecture::MnistCnn, 2).init(&device)?;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("parity.safetensors");
/// save_model(&path, &net, &ModelCard::new(&net, vec!["odd".into(), "even".into()])?)?;
///
/// let (_, card) = load_model_from_bytes("parity", std::fs::read(&path)?, &device)?;
/// assert_eq!(card.classes(), ["odd", "even"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`ModelError::NotACheckpoint`] for bytes that are no safetensors file, and the errors of [`load_model`] except
/// [`ModelError::Read`].
pub fn load_model_from_bytes(
    name: impl AsRef<Path>,
    bytes: Vec<u8>,
    device: &Device,
) -> Result<(Net, ModelCard), ModelError> {
    load(&safetensors_file::parse(name.as_ref(), bytes)?, device)
}

fn load(checkpoint: &Checkpoint, device: &Device) -> Result<(Net, ModelCard), ModelError> {
    let card = ModelCard::of_model_file(checkpoint)?;
    let net = card.config().init(device)?;
    let (net, _) = import(net, checkpoint, &ImportOptions::new())?;
    Ok((net, card))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;

    use super::*;
    use crate::architectures::architecture::Architecture;
    use crate::import::load::load_pretrained;
    use crate::import::options::NormalisationSource;
    use crate::network::config::ModelConfig;
    use crate::network::normalisation::Normalisation;

    /// Saves a network of a configuration with two classes.
    fn saved(config: &ModelConfig, folder: &tempfile::TempDir) -> std::path::PathBuf {
        let net = config.init(&Device::flex()).unwrap();
        let card = ModelCard::new(&net, vec!["cat".to_owned(), "dog".to_owned()]).unwrap();
        let path = folder.path().join("saved.safetensors");
        save_model(&path, &net, &card).unwrap();
        path
    }

    #[test]
    fn a_caller_overrides_normalisation_and_upsampling_alone() {
        let folder = tempfile::tempdir().unwrap();
        let own = ModelConfig::new(Architecture::ResNet8, 2)
            .with_upsampling(Some([64, 64]))
            .with_normalisation(Some(Normalisation::cifar10()))
            .with_seed(3);
        let path = saved(&own, &folder);
        let load = |config: &ModelConfig, source| {
            let options = ImportOptions::new().with_normalisation(source);
            load_pretrained(config, &path, &options, &Device::flex()).unwrap().0.config().clone()
        };
        let plain = ModelConfig::new(Architecture::ResNet8, 2);
        assert_eq!(load(&plain, NormalisationSource::File), own);
        for given in [None, Some(Normalisation::imagenet())] {
            let config = plain.clone().with_normalisation(given.clone());
            let expected = own.clone().with_normalisation(given);
            assert_eq!(load(&config, NormalisationSource::Model), expected);
        }
        let config = plain.with_image_size([48, 48]).with_upsampling(Some([96, 96]));
        let expected = own.clone().with_image_size([48, 48]).with_upsampling(Some([96, 96]));
        assert_eq!(load(&config, NormalisationSource::File), expected);
    }

    #[test]
    fn images_may_need_the_upsampling_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let small = ModelConfig::new(Architecture::MnistCnn, 2).with_image_size([14, 14]);
        let own = small.clone().with_upsampling(Some([28, 28]));
        let path = saved(&own, &folder);
        let (net, _) = load_pretrained(&small, &path, &ImportOptions::new(), &Device::flex()).unwrap();
        assert_eq!(net.config(), &own);
        assert!(net.check_input([1, 14, 14]).is_ok());
    }

    #[test]
    fn the_content_of_a_file_is_the_same_model() {
        let device = Device::flex();
        let net = ModelConfig::new(Architecture::ResNet8, 2).with_seed(3).init(&device).unwrap();
        let card = ModelCard::new(&net, vec!["cat".to_owned(), "dog".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pets.safetensors");
        save_model(&path, &net, &card).unwrap();
        let bytes = std::fs::read(&path).unwrap();

        let (from_file, _) = load_model(&path, &device).unwrap();
        let (from_bytes, read) = load_model_from_bytes("pets", bytes, &device).unwrap();
        assert_eq!(read, card);
        let image = Tensor::<4>::full([1, 3, 32, 32], 0.3, &device);
        let logits = |net: &Net| net.forward(image.clone()).into_data();
        assert_eq!(logits(&from_bytes), logits(&from_file));
        assert_eq!(logits(&from_bytes), logits(&net));
    }

    #[test]
    fn bytes_that_are_no_model_file_are_named() {
        let device = Device::flex();
        let message = |bytes| load_model_from_bytes("pets", bytes, &device).unwrap_err().to_string();
        let net = ModelConfig::new(Architecture::ResNet8, 2).init(&device).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        crate::export_weights(&path, &net, Wings::Adaptive).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let without_card = message(bytes.clone());
        assert!(without_card.contains("pets was not saved by this library"), "{without_card}");
        for damaged in [Vec::new(), b"<!DOCTYPE html>".to_vec(), bytes[..bytes.len() - 4].to_vec()] {
            let damaged = message(damaged);
            assert!(damaged.contains("pets is no usable weight file"), "{damaged}");
        }
    }
}
