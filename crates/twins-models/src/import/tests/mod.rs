//! Imports of the files of `tests/golden/formats`, which hold the weights of `tests/golden/torch`.

mod affine;
mod formats;
mod published;
mod renames;
mod shortcuts;
mod values;

use std::path::Path;
use std::path::PathBuf;

use burn::tensor::Device;

use crate::architectures::golden::{golden, images, reduced, reduced_net};
use crate::error::ModelError;
use crate::import::load::load_weights;
use crate::import::options::ImportOptions;
use crate::import::report::ImportReport;
use crate::network::net::Net;

pub(super) fn logits(net: &Net, name: &str) -> Vec<f32> {
    net.forward(images(reduced(name).2, &Device::flex())).into_data().try_to_vec().unwrap()
}

pub(super) fn load(
    name: &str,
    path: impl AsRef<Path>,
    options: &ImportOptions,
) -> Result<(Net, ImportReport), ModelError> {
    load_weights(reduced_net(name, &Device::flex()), path, options)
}

/// The reduced network with the weights of the safetensors file.
pub(super) fn reference(name: &str) -> Net {
    load(name, golden(&format!("torch/{name}.safetensors")), &ImportOptions::new()).unwrap().0
}

pub(super) fn formats(file: &str) -> PathBuf {
    golden("formats").join(file)
}

/// A file with a golden network's entries under other names.
pub(super) fn respelled(folder: &Path, name: &str, spelling: impl Fn(&str) -> String) -> PathBuf {
    let bytes = std::fs::read(golden(&format!("torch/{name}.safetensors"))).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let path = folder.join(format!("{name}.safetensors"));
    let entries = file.iter().map(|(key, view)| (spelling(key), view));
    std::fs::write(&path, safetensors::serialize(entries, None).unwrap()).unwrap();
    path
}
