//! Saving and loading model files.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;

use crate::error::ModelError;
use crate::export::weights::{Wings, write, write_error};
use crate::import::load::load_weights;
use crate::import::options::ImportOptions;
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
/// [`ModelError::NotAModelFile`] for a file without a card, and the errors of [`load_weights`].
pub fn load_model(path: impl AsRef<Path>, device: &Device) -> Result<(Net, ModelCard), ModelError> {
    let card = ModelCard::read(path.as_ref())?;
    let net = card.config().init(device)?;
    let (net, _) = load_weights(net, path, &ImportOptions::new())?;
    Ok((net, card))
}
