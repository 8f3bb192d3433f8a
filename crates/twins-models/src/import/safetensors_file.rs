//! Opens safetensors files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use safetensors::SafeTensors;

use crate::error::ModelError;
use crate::import::checkpoint::Checkpoint;
use crate::import::entry::{Entry, Source};
use crate::import::report::WeightFormat;

/// Whether a file begins with a header length and the header's opening brace.
pub(super) fn starts_like_one(head: &[u8]) -> bool {
    head.get(8) == Some(&b'{') && head.get(4..8) == Some(&[0; 4])
}

pub(super) fn open(path: &Path) -> Result<Checkpoint, ModelError> {
    let file = std::fs::read(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
    parse(path, file)
}

/// Opens the content of a file; errors name it by `path`.
pub(crate) fn parse(path: &Path, file: Vec<u8>) -> Result<Checkpoint, ModelError> {
    let length = file.len() as u64;
    let file = Arc::new(file);
    let damaged = |error: safetensors::SafeTensorError| ModelError::NotACheckpoint {
        path: path.to_owned(),
        reason: format!("its safetensors header is damaged, or the file truncated: {error}"),
    };
    let (header, metadata) = SafeTensors::read_metadata(&file).map_err(damaged)?;
    // The length of the header takes eight bytes.
    let start = header + 8;
    let mut entries = BTreeMap::new();
    for (key, info) in metadata.tensors() {
        let (from, to) = info.data_offsets;
        let source =
            Source::Safetensors { file: file.clone(), range: start + from..start + to, dtype: info.dtype };
        entries.insert(key, Entry { shape: info.shape.clone(), source });
    }
    Ok(Checkpoint {
        path: path.to_owned(),
        format: WeightFormat::Safetensors,
        length,
        entries,
        renamed_from: BTreeMap::new(),
        dictionaries: BTreeSet::from([String::new()]),
        layers: BTreeSet::new(),
        objects: BTreeMap::new(),
        metadata: metadata.metadata().clone().unwrap_or_default(),
    })
}
