//! Opening Burn's own record files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use burn::store::burn_pack::Reader;
use burn::tensor::Bytes;

use crate::error::ModelError;
use crate::import::checkpoint::Checkpoint;
use crate::import::entry::{Entry, Source};
use crate::import::report::WeightFormat;

/// The number 0x4255524E in little-endian byte order.
pub(super) const MAGIC: &[u8] = b"NRUB";

pub(super) fn open(path: &Path, length: u64) -> Result<Checkpoint, ModelError> {
    let file = std::fs::read(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
    let damaged = |error: burn::store::burn_pack::Error| ModelError::NotACheckpoint {
        path: path.to_owned(),
        reason: format!("its burnpack header is damaged, or the file truncated: {error}"),
    };
    // Read from memory, whose size is known; the header of the file may declare any size.
    let reader = Reader::from_bytes(Bytes::from_bytes_vec(file)).map_err(damaged)?;
    let mut entries = BTreeMap::new();
    for tensor in reader.into_tensors().map_err(damaged)? {
        let shape = tensor.shape.to_vec();
        entries.insert(without_variants(&tensor.name), Entry { shape, source: Source::Burnpack(tensor) });
    }
    Ok(Checkpoint {
        path: path.to_owned(),
        format: WeightFormat::Burnpack,
        length,
        entries,
        renamed_from: BTreeMap::new(),
        dictionaries: BTreeSet::from([String::new()]),
        layers: BTreeSet::new(),
        objects: BTreeMap::new(),
        metadata: HashMap::new(),
    })
}

/// Removes the names of enum variants, which begin with a capital letter, from a record's key. The architecture
/// determines the variants.
fn without_variants(key: &str) -> String {
    let fields = key.split('.').filter(|part| !part.starts_with(|first: char| first.is_ascii_uppercase()));
    fields.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_dropped_and_fields_kept() {
        let key = "body.ResNet.stages.0.1.Basic.shortcut.Projection.conv.weight";
        assert_eq!(without_variants(key), "body.stages.0.1.shortcut.conv.weight");
    }
}
