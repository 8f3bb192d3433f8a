//! A weight file of any format, opened but with its tensors not yet read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::ModelError;
use crate::import::entry::Entry;
use crate::import::report::WeightFormat;
use crate::import::{burnpack_file, pickle, safetensors_file};

/// The tensors of a weight file, by their dotted keys.
pub(crate) struct Checkpoint {
    pub(crate) path: PathBuf,
    pub(crate) format: WeightFormat,
    /// Size of the file in bytes.
    pub(crate) length: u64,
    pub(crate) entries: BTreeMap<String, Entry>,
    /// The original keys of renamed entries.
    pub(crate) renamed_from: BTreeMap<String, String>,
    /// Dotted paths of the dictionaries that contain tensors; the root of the file is the empty path.
    pub(crate) dictionaries: BTreeSet<String>,
    /// Dotted paths of the layers of a pickled module. They are part of its entries' names in `state_dict()`.
    pub(crate) layers: BTreeSet<String>,
    /// Python types of values that are neither tensors nor plain data.
    pub(crate) objects: BTreeMap<String, String>,
    /// The text metadata of the file.
    pub(crate) metadata: HashMap<String, String>,
}

impl Checkpoint {
    /// Opens a file; its content determines the format.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let read = |source| ModelError::Read { path: path.to_owned(), source };
        let mut head = Vec::new();
        let file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        file.take(16).read_to_end(&mut head).map_err(read)?;
        if head.is_empty() {
            return Err(ModelError::NotACheckpoint { path: path.to_owned(), reason: "it is empty".into() });
        }
        if safetensors_file::starts_like_one(&head) {
            safetensors_file::open(path)
        } else if head.starts_with(burnpack_file::MAGIC) {
            burnpack_file::open(path, length)
        } else {
            pickle::open(path, length)
        }
    }

    /// The original key of an entry in the file.
    pub(crate) fn file_key<'a>(&'a self, key: &'a str) -> &'a str {
        self.renamed_from.get(key).map_or(key, String::as_str)
    }
}
