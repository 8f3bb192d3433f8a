use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::DataError;
use crate::file::{io_error, is_regular};
use crate::images::decode::{SIGNATURE_SIZE, format};

/// The names of the sub-folders and of the files in a folder, each in alphabetical order.
pub(crate) fn list(folder: &Path) -> Result<(Vec<OsString>, Vec<OsString>), DataError> {
    let (mut subfolders, mut files) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(io_error(folder))? {
        let entry = entry.map_err(io_error(folder))?;
        // Follows symbolic links, which people use to make subsets.
        let kind = std::fs::metadata(entry.path()).map_err(io_error(&entry.path()))?;
        if kind.is_dir() { subfolders.push(entry.file_name()) } else { files.push(entry.file_name()) }
    }
    subfolders.sort_unstable();
    files.sort_unstable();
    Ok((subfolders, files))
}

pub(super) fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension
        .is_some_and(|extension| ["png", "jpg", "jpeg", "webp", "ppm", "pgm"].contains(&extension.as_str()))
}

pub(super) fn has_image_signature(path: &Path) -> Result<bool, DataError> {
    if !is_regular(path)? {
        return Ok(false);
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(io_error(path))?;
    file.take(SIGNATURE_SIZE as u64).read_to_end(&mut start).map_err(io_error(path))?;
    Ok(format(&start).is_some())
}
