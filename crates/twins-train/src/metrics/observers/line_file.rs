use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::error::TrainError;

/// A text file with one line per step or epoch, in ascending order, to which lines are appended in place.
pub(super) struct LineFile {
    path: PathBuf,
    file: File,
}

impl LineFile {
    /// Opens or creates the file and its parent folders. Truncates the file before the first line that is incomplete or that
    /// `keep` rejects.
    pub(super) fn open(path: PathBuf, keep: impl Fn(&str) -> bool) -> Result<Self, TrainError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| TrainError::io("create", folder, source))?;
        }
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = file.map_err(|source| TrainError::io("open", &path, source))?;
        let kept = kept_bytes(&file, keep).map_err(|source| TrainError::io("read", &path, source))?;
        file.set_len(kept)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(|source| TrainError::io("write", &path, source))?;
        Ok(Self { path, file })
    }

    pub(super) fn append(&mut self, line: &str) -> Result<(), TrainError> {
        self.file
            .write_all(format!("{line}\n").as_bytes())
            .map_err(|source| TrainError::io("write", &self.path, source))
    }

    pub(super) fn is_empty(&self) -> Result<bool, TrainError> {
        let metadata = self.file.metadata();
        Ok(metadata.map_err(|source| TrainError::io("read", &self.path, source))?.len() == 0)
    }
}

/// The length in bytes of the lines to keep.
fn kept_bytes(file: &File, keep: impl Fn(&str) -> bool) -> std::io::Result<u64> {
    let mut reader = BufReader::new(file);
    let mut kept = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        match text {
            Some(text) if keep(text) => kept += length as u64,
            _ => return Ok(kept),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_and_later_lines_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/lines.txt");
        let upto = |last: u32| move |line: &str| line.parse::<u32>().is_ok_and(|line| line <= last);
        let mut file = LineFile::open(path.clone(), upto(0)).unwrap();
        assert!(file.is_empty().unwrap());
        for line in ["1", "2", "3"] {
            file.append(line).unwrap();
        }
        drop(file);
        // A process that ended while it wrote.
        fs::write(&path, fs::read_to_string(&path).unwrap() + "4").unwrap();
        LineFile::open(path.clone(), upto(9)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n3\n");
        let mut file = LineFile::open(path.clone(), upto(1)).unwrap();
        file.append("2").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n");
        // What is no line at all.
        fs::write(&path, b"1\n\xff\n2\n").unwrap();
        LineFile::open(path.clone(), upto(9)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }
}
