use std::collections::BTreeSet;

use crate::error::DataError;

/// Refuses two classes of one name; surrounding white space does not count.
pub(crate) fn refuse_duplicates(names: &[String]) -> Result<(), DataError> {
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(name.trim())) {
        None => Ok(()),
        Some(name) => Err(DataError::DuplicateClass { name: name.clone() }),
    }
}
