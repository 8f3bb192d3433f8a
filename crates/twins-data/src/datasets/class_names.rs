use std::collections::BTreeSet;

use crate::error::DataError;

/// Returns an error if two classes have the same name; surrounding white space is ignored.
pub(crate) fn refuse_duplicates(names: &[String]) -> Result<(), DataError> {
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(name.trim())) {
        None => Ok(()),
        Some(name) => Err(DataError::DuplicateClass { name: name.clone() }),
    }
}
