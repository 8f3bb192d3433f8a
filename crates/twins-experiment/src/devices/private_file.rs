use std::fs::File;
use std::io;

/// The permissions of a file with a secret if other users can read or write it; `None` if they cannot, or the system has no such
/// permissions.
#[cfg(unix)]
pub(super) fn mode_open_to_others(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;

    let mode = file.metadata()?.permissions().mode() & 0o777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

#[cfg(not(unix))]
pub(super) fn mode_open_to_others(_file: &File) -> io::Result<Option<u32>> {
    Ok(None)
}
