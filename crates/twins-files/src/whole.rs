//! Files that readers find whole, whenever the writing process ends.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Content that is on the disk under another name, waiting for [`WholeFile::put`]. Dropped before, it is removed.
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    part: PathBuf,
}

impl WholeFile {
    /// Writes the content to `<path>.part` and flushes it to the disk. Folders that are missing are created.
    ///
    /// The name is always the same, so that a process killed here any number of times leaves one such file; a path
    /// has one writer at a time.
    ///
    /// # Errors
    ///
    /// Those of the system; the unfinished file is removed.
    pub fn write(path: impl Into<PathBuf>, bytes: &[u8]) -> io::Result<Self> {
        let path = path.into();
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        fs::create_dir_all(folder_of(&path))?;
        let file = Self { part: path.with_file_name(name), path };
        // Where one of these fails, a full disk say, dropping `file` gives back what it took.
        let mut part = File::create(&file.part)?;
        part.write_all(bytes)?;
        part.sync_all()?;
        Ok(file)
    }

    /// Puts the file in its place, over the one that is there, and makes the renaming itself last.
    ///
    /// # Errors
    ///
    /// Those of the system; the file that was there stays.
    pub fn put(self) -> io::Result<()> {
        fs::rename(&self.part, &self.path)?;
        // Windows has no such call, and needs none.
        if cfg!(unix) {
            File::open(folder_of(&self.path))?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        // Renamed already, or there is nothing more to be done about it.
        let _ = fs::remove_file(&self.part);
    }
}

/// Writes a file so that readers find the old content or the new, whenever the process ends. Folders that are missing are
/// created.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("reports/first.txt");
/// twins_files::write_whole(&path, b"one line\n")?;
/// assert_eq!(std::fs::read(&path)?, b"one line\n");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Those of the system; the old file stays, and nothing is left beside it.
pub fn write_whole(path: impl Into<PathBuf>, bytes: &[u8]) -> io::Result<()> {
    WholeFile::write(path, bytes)?.put()
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
    fn the_old_content_stands_until_the_new_is_put() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_whole(&path, b"old").unwrap();
        let new = WholeFile::write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        new.put().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        drop(WholeFile::write(&path, b"never").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_file_that_cannot_be_put_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir_all(path.join("by a folder")).unwrap();
        write_whole(&path, b"x").unwrap_err();
        assert_eq!(names(folder.path()), ["taken"]);
    }
}
