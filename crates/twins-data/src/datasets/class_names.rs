use std::collections::BTreeSet;
use std::path::Path;

use crate::error::DataError;

/// Returns an error if two classes have the same name; surrounding white space is ignored. `path` is where the names come from, unless a
/// program gave them.
pub(crate) fn refuse_duplicates(names: &[String], path: Option<&Path>) -> Result<(), DataError> {
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(name.trim())) {
        None => Ok(()),
        Some(name) => {
            Err(DataError::DuplicateClass { name: name.clone(), path: path.map(Path::to_path_buf) })
        }
    }
}
