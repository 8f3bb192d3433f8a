use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::DataError;

/// The number of bytes that a reader may allocate for a file of `file_size` bytes: four times its size plus 64 MiB.
///
/// This is enough for every published data set and for photographs, but too little for a damaged or hostile header to
/// exhaust the memory.
pub(crate) fn allocation_limit(file_size: u64) -> u64 {
    const FLOOR: u64 = 64 << 20;
    file_size.saturating_mul(4).saturating_add(FLOOR)
}

/// Wraps an error of the operating system in an error that names `path`.
pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DataError + '_ {
    move |source| DataError::Io { path: path.to_path_buf(), source }
}

/// Opens a file and returns its size in bytes.
pub(crate) fn open(path: &Path) -> Result<(File, u64), DataError> {
    let file = File::open(path).map_err(io_error(path))?;
    let size = file.metadata().map_err(io_error(path))?.len();
    Ok((file, size))
}

/// Whether a path, or what a symbolic link leads to, is a file with content of its own: neither a folder nor a device or pipe.
pub(crate) fn is_regular(path: &Path) -> Result<bool, DataError> {
    Ok(std::fs::metadata(path).map_err(io_error(path))?.is_file())
}

/// Reads a whole file into memory, which allocates as many bytes as the file has.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    // A device could give bytes for ever, and a pipe none.
    if !is_regular(path)? {
        return Err(io_error(path)(io::Error::other("it is no regular file")));
    }
    std::fs::read(path).map_err(io_error(path))
}

/// Returns the path of the first of `names` that exists in `folder`.
pub(crate) fn find(folder: &Path, names: &[&str]) -> Result<PathBuf, DataError> {
    // A folder that cannot be listed would otherwise be reported as one without the files.
    std::fs::read_dir(folder).map_err(io_error(folder))?;
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        DataError::MissingFile {
            folder: folder.to_path_buf(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn devices_are_not_read() {
        let message = read(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(message.contains("/dev/zero") && message.contains("no regular file"), "{message}");
    }
}
