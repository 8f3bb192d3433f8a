//! Locates the pickle in PyTorch's ZIP archive.

use std::io::{Read, Seek};

use zip::ZipArchive;

/// The name of the `data.pkl` with the shortest path, which is the one that the reader uses.
pub(super) fn pickle_name<R: Read + Seek>(archive: &ZipArchive<R>) -> Option<String> {
    let names = archive.file_names().filter_map(Result::ok);
    let pickles = names.filter(|name| name.strip_suffix("data.pkl").is_some_and(is_root));
    pickles.min_by_key(|name| name.len()).map(|name| name.into_owned())
}

/// The size that the largest entry of an archive has, or says that it has, when it is decompressed.
pub(super) fn largest_entry<R: Read + Seek>(archive: &ZipArchive<R>) -> u64 {
    let entries = (0..archive.len()).filter_map(|index| archive.by_index_data(index).ok());
    entries.map(|entry| entry.size()).max().unwrap_or(0)
}

/// Whether this is the path of a folder of the archive.
fn is_root(path: &str) -> bool {
    path.is_empty() || path.ends_with('/')
}
