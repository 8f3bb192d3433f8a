//! Export of weights for PyTorch: safetensors with the published entry names.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use safetensors::tensor::{Dtype, TensorView};
use twins_files::{safetensors_bytes, write_atomic};

use crate::error::ModelError;
use crate::network::net::Net;
use crate::network::slots::{Slot, slots, values};

/// The batch-normalisation values that are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wings {
    /// The values of both wings; in the names of the frozen wing's entries, the last part has the prefix `frozen_`.
    Both,
    /// The values of the adaptive wing, as plain batch normalisation; inference needs no others.
    Adaptive,
}

/// Writes a network's weights for PyTorch, as safetensors with the entry names and the memory layout of the published
/// network (dense weights are `[out, in]`).
///
/// With [`Wings::Adaptive`], PyTorch loads the file into that network with `strict=True` (PyTorch accepts a missing
/// batch counter). Normalisation and up-sampling are not weights and are not written; [`save_model`](crate::save_model)
/// stores them. The file is written under a temporary name and then renamed; missing folders are created.
///
/// # Errors
///
/// [`ModelError::Write`].
pub fn export_weights(path: impl AsRef<Path>, net: &Net, wings: Wings) -> Result<(), ModelError> {
    write(path.as_ref(), net, wings, BTreeMap::from([("format".to_owned(), "pt".to_owned())]))
}

/// Writes a network's values under the names of the architecture's first naming scheme.
pub(crate) fn write(
    path: &Path,
    net: &Net,
    wings: Wings,
    metadata: BTreeMap<String, String>,
) -> Result<(), ModelError> {
    // On a model in training, the running statistics lack the last update; `valid` applies it.
    let body = net.body().valid();
    let naming = net.namings()[0];
    let data = values(&body);
    let mut bytes: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for slot in slots(&body) {
        if wings == Wings::Adaptive && slot.adaptive_path().is_some() {
            continue;
        }
        let Some(data) = data.get(&slot.path) else { continue };
        let floats: Vec<f32> = data.iter::<f32>().collect();
        let floats = to_file_order(&slot, floats);
        let raw = floats.iter().flat_map(|value| value.to_le_bytes()).collect();
        bytes.push((naming.key(&slot.path), slot.file_shape(), raw));
    }
    let mut views = Vec::new();
    for (key, shape, raw) in &bytes {
        let view = TensorView::new(Dtype::F32, shape.clone(), raw)
            .map_err(|error| write_error(path, std::io::Error::other(error)))?;
        views.push((key, view));
    }
    let file = safetensors_bytes(views, &metadata)
        .map_err(|error| write_error(path, std::io::Error::other(error)))?;
    write_atomic(path, &file).map_err(|error| write_error(path, error))
}

fn to_file_order(slot: &Slot, floats: Vec<f32>) -> Vec<f32> {
    match slot.shape[..] {
        [rows, columns] => slot.reordered(floats, rows, columns),
        _ => floats,
    }
}

pub(crate) fn write_error(path: &Path, source: std::io::Error) -> ModelError {
    ModelError::Write { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use std::collections::HashMap;

    use safetensors::SafeTensors;

    use super::*;
    use crate::architectures::golden::{NAMES, golden, reduced_net};
    use crate::import::load::load_weights;
    use crate::import::options::ImportOptions;

    fn entries(path: &Path) -> Vec<(String, Vec<usize>, Vec<u8>)> {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut entries: Vec<_> = file
            .iter()
            .filter(|(key, _)| !key.ends_with("num_batches_tracked"))
            .map(|(key, view)| (key.to_owned(), view.shape().to_vec(), view.data().to_vec()))
            .collect();
        entries.sort();
        entries
    }

    #[test]
    fn what_pytorch_wrote_comes_out_bit_for_bit() {
        // Where the variable names a folder, the files stay there for check_export.py.
        let folder = tempfile::tempdir().unwrap();
        let folder = std::env::var_os("TWINS_EXPORT_DIR").map_or(folder.path().to_owned(), Into::into);
        std::fs::create_dir_all(&folder).unwrap();
        for name in NAMES {
            let original = golden(&format!("torch/{name}.safetensors"));
            let net = reduced_net(name, &Device::flex());
            let (net, _) = load_weights(net, &original, &ImportOptions::new()).unwrap();
            let path = folder.join(format!("{name}.safetensors"));
            export_weights(&path, &net, Wings::Adaptive).unwrap();
            assert!(entries(&path) == entries(&original), "{name}");
        }
    }

    #[test]
    fn both_wings_come_back_from_a_file_with_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("both.safetensors");
        let net = reduced_net("cifar", &Device::flex());
        let (mut net, _) =
            load_weights(net, golden("torch/cifar.safetensors"), &ImportOptions::new()).unwrap();
        // Make the wings differ.
        let changed: Vec<_> =
            slots(net.body()).into_iter().filter(|slot| slot.parameter() == "frozen_var").collect();
        let mut all: HashMap<String, Vec<f32>> = values(net.body())
            .into_iter()
            .map(|(path, data)| (path, data.try_to_vec::<f32>().unwrap()))
            .collect();
        for slot in &changed {
            all.insert(slot.path.clone(), vec![7.0; slot.shape[0]]);
        }
        net = net.rebuilt(all);
        export_weights(&path, &net, Wings::Both).unwrap();
        let (loaded, report) =
            load_weights(reduced_net("cifar", &Device::flex()), &path, &ImportOptions::new()).unwrap();
        assert_eq!(report.copied_to_frozen, 0);
        assert_eq!(values(loaded.body()), values(net.body()));
    }
}
