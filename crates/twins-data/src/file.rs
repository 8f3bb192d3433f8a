use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::DataError;

/// Bytes that a reader may allocate for a file of `file_size` bytes: four times its size and 64 MiB.
///
/// Enough for every published data set and for photographs; little enough that a damaged or hostile header
/// cannot exhaust the memory.
pub(crate) fn allowance(file_size: u64) -> u64 {
    const FLOOR: u64 = 64 << 20;
    file_size.saturating_mul(4).saturating_add(FLOOR)
}

/// Turns what the operating system says about `path` into an error that names it.
pub(crate) fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> DataError + '_ {
    move |source| DataError::Io { path: path.to_path_buf(), source }
}

/// Opens a file and says how many bytes it has.
pub(crate) fn open(path: &Path) -> Result<(File, u64), DataError> {
    let file = File::open(path).map_err(io_error(path))?;
    let size = file.metadata().map_err(io_error(path))?.len();
    Ok((file, size))
}

/// Reads a whole file, which allocates as much as it holds.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(io_error(path))
}

/// The first of `names` that exists in `folder`.
pub(crate) fn find(folder: &Path, names: &[&str]) -> Result<PathBuf, DataError> {
    // A folder that cannot be listed would otherwise look like one without the files.
    std::fs::read_dir(folder).map_err(io_error(folder))?;
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        DataError::MissingFile {
            folder: folder.to_path_buf(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    })
}
