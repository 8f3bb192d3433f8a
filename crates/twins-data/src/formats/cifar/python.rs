//! CIFAR in its pickled Python form.

use std::path::Path;

use crate::error::DataError;
use crate::file::read;
use crate::formats::pickle::reader::Pickle;
use crate::formats::pickle::value::Id;

/// The pixels and labels of a pickled batch: a dictionary whose `data` is a NumPy matrix of bytes.
pub(crate) fn read_batch(
    path: &Path,
    label_entry: &'static str,
    columns: usize,
    classes: usize,
) -> Result<(Vec<u8>, Vec<u8>), DataError> {
    let bytes = read(path)?;
    let pickle = parse(path, &bytes)?;
    let pixels = pickle
        .entry(pickle.root(), "data")
        .and_then(|entry| pickle.byte_matrix(entry, columns))
        .ok_or_else(|| missing(path, "data", "a matrix of bytes with 3072 columns"))?;
    let labels = list(&pickle, path, label_entry, "a list of labels")?
        .iter()
        .enumerate()
        .map(|(index, id)| match pickle.integer(*id).map(usize::try_from) {
            Some(Ok(label)) if label < classes => Ok(label as u8),
            Some(Ok(label)) => {
                Err(DataError::LabelOutOfRange { path: path.to_path_buf(), index, label, classes })
            }
            _ => Err(missing(path, label_entry, "a list of labels")),
        })
        .collect::<Result<Vec<u8>, _>>()?;
    if labels.is_empty() || labels.len() != pixels.len() / columns {
        return Err(DataError::LabelCount {
            image_file: path.to_path_buf(),
            images: pixels.len() / columns,
            label_file: path.to_path_buf(),
            labels: labels.len(),
        });
    }
    Ok((pixels.to_vec(), labels))
}

/// The class names of a pickled dictionary, which must be so many, and differ.
pub(crate) fn read_names(
    path: &Path,
    entry: &'static str,
    expected: usize,
) -> Result<Vec<String>, DataError> {
    let bytes = read(path)?;
    let pickle = parse(path, &bytes)?;
    let list = list(&pickle, path, entry, "a list of names")?;
    if list.len() != expected {
        return Err(DataError::ClassCount { path: path.to_path_buf(), expected, found: list.len() });
    }
    let mut names: Vec<String> = Vec::with_capacity(expected);
    for id in list {
        let name = pickle.bytes(*id).ok_or_else(|| missing(path, entry, "a list of names"))?;
        let name = String::from_utf8_lossy(name).trim().to_owned();
        // Refused one by one, because a list may name the same long text any number of times.
        if names.contains(&name) {
            return Err(DataError::DuplicateClass { name, path: Some(path.to_path_buf()) });
        }
        names.push(name);
    }
    Ok(names)
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<Pickle<'a>, DataError> {
    Pickle::parse(bytes).map_err(|fault| DataError::Pickle { path: path.to_path_buf(), fault })
}

fn list<'p>(
    pickle: &'p Pickle<'_>,
    path: &Path,
    entry: &'static str,
    expected: &'static str,
) -> Result<&'p [Id], DataError> {
    let found = pickle.entry(pickle.root(), entry).and_then(|id| pickle.sequence(id));
    found.ok_or_else(|| missing(path, entry, expected))
}

fn missing(path: &Path, entry: &'static str, expected: &'static str) -> DataError {
    DataError::MissingEntry { path: path.to_path_buf(), entry, expected }
}
