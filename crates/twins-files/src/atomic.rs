//! Files that readers always see complete, whenever the writing process ends.
//!
//! `tempfile` has this as `NamedTempFile::persist`, but its names are random, so each killed process would leave another file; its files
//! are readable only by their owner; and it does not flush the renaming.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Content that is on the disk under a temporary name, until [`AtomicFile::commit`] gives it its final name. If the value is
/// dropped before, the temporary file is removed.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    part: PathBuf,
}

impl AtomicFile {
    /// Writes the content to `<path>.part` and flushes it to the disk. Missing folders are created.
    ///
    /// The temporary name is always the same, so a process that is killed here any number of times leaves one such file.
    /// A path must have only one writer at a time.
    ///
    /// # Errors
    ///
    /// Any error of the operating system, and a path that [`check_replaceable`] refuses. The unfinished file is removed.
    pub fn write(path: impl Into<PathBuf>, bytes: &[u8]) -> io::Result<Self> {
        Self::write_with(path, |file| file.write_all(bytes))
    }

    /// Like [`write`](Self::write), for content that is not in memory as a whole: `content` writes it piece by piece.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), and the error of `content`.
    pub fn write_with<E: From<io::Error>>(
        path: impl Into<PathBuf>,
        content: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let path = path.into();
        check_replaceable(&path)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        fs::create_dir_all(folder_of(&path))?;
        let file = Self { part: path.with_file_name(name), path };
        // If one of these fails, for example on a full disk, dropping `file` removes the unfinished file.
        let mut part = BufWriter::new(File::create(&file.part)?);
        content(&mut part)?;
        part.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(file)
    }

    /// Renames the file to its final name, replaces an existing file, and flushes the renaming itself to the disk, if the file system
    /// can do that.
    ///
    /// # Errors
    ///
    /// Any error of the operating system. If the renaming fails, the existing file is unchanged.
    pub fn commit(self) -> io::Result<()> {
        fs::rename(&self.part, &self.path)?;
        // Windows has no such call and does not need one.
        if cfg!(unix) {
            match File::open(folder_of(&self.path))?.sync_all() {
                // Some file systems, such as the shared folders of virtual machines, flush files only.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                flushed => flushed?,
            }
        }
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // The file has been renamed, or nothing more can be done about it.
        let _ = fs::remove_file(&self.part);
    }
}

/// Writes a file so that readers find either the old or the new content, whenever the process ends. Missing folders are
/// created.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("reports/first.txt");
/// twins_files::write_atomic(&path, b"one line\n")?;
/// assert_eq!(std::fs::read(&path)?, b"one line\n");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// As for [`AtomicFile::write`] and [`AtomicFile::commit`]. If the new content cannot be put in place, the old file is unchanged, and no
/// temporary file is left.
pub fn write_atomic(path: impl Into<PathBuf>, bytes: &[u8]) -> io::Result<()> {
    AtomicFile::write(path, bytes)?.commit()
}

/// Checks that no device, pipe or socket is at the path. Renaming would put a file in its place: `/dev/null` would be a file from then on.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`].
pub fn check_replaceable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() && !found.is_dir() => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a device, pipe or socket, which a file would replace; give the name of a file",
        )),
        // Other errors are those of writing.
        _ => Ok(()),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_content_remains_until_the_new_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomic(&path, b"old").unwrap();
        let new = AtomicFile::write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        new.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        drop(AtomicFile::write(&path, b"never").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_file_that_cannot_be_committed_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir_all(path.join("by a folder")).unwrap();
        write_atomic(&path, b"x").unwrap_err();
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_or_pipe_is_not_replaced() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        use std::os::unix::net::UnixListener;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = UnixListener::bind(&path).unwrap();
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        for path in [&path, &link] {
            let error = write_atomic(path, b"x").unwrap_err();
            assert!(error.to_string().contains("give the name of a file"), "{error}");
            assert!(fs::metadata(path).unwrap().file_type().is_socket());
        }
        assert_eq!(names(folder.path()), ["link", "socket"]);
    }

    #[test]
    fn a_bare_name_is_a_file_of_the_current_folder() {
        for (path, folder) in [("report.html", "."), ("runs/report.html", "runs"), ("/report.html", "/")] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder), "{path}");
        }
    }

    #[test]
    fn content_that_fails_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let write = |more: io::Result<()>| {
            AtomicFile::write_with(&path, |file| {
                file.write_all(b"first ")?;
                more?;
                file.write_all(b"second")
            })
        };
        assert_eq!(write(Err(io::Error::other("no more"))).unwrap_err().to_string(), "no more");
        assert!(names(folder.path()).is_empty());
        write(Ok(())).unwrap().commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first second");
    }
}
