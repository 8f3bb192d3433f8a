use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{event, record};
use crate::error::TrainError;

/// TensorBoard reads every file with `tfevents` in its name.
const NAME: &str = "events.out.tfevents.0.burn-twins";

/// An event file to which events are appended in place.
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Opens or creates the event file of a directory for a training run that has completed the given number of steps.
    /// Empties the file if that number is 0; otherwise only a damaged end is dropped.
    pub(super) fn open(directory: &Path, wall_time: f64, completed: usize) -> Result<Self, TrainError> {
        fs::create_dir_all(directory).map_err(|source| TrainError::io("create", directory, source))?;
        let path = directory.join(NAME);
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = file.map_err(|source| TrainError::io("open", &path, source))?;
        let whole = if completed == 0 { Ok(0) } else { record::whole_bytes(&file) };
        let whole = whole.map_err(|source| TrainError::io("read", &path, source))?;
        file.set_len(whole)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(|source| TrainError::io("write", &path, source))?;
        let mut events = Self { path, file };
        if whole == 0 {
            events.append(&event::version(wall_time))?;
        }
        if completed > 0 {
            events.append(&event::session_start(wall_time, completed as u64 + 1))?;
        }
        Ok(events)
    }

    pub(super) fn append(&mut self, event: &[u8]) -> Result<(), TrainError> {
        let written = self.file.write_all(&record::encode(event));
        written.map_err(|source| TrainError::io("write", &self.path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_continues_the_file_and_a_new_one_starts_it_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let loss = event::scalars(2.0, 1, &[("step/loss".to_owned(), 0.5)]);
        EventFile::open(folder.path(), 1.0, 0).unwrap().append(&loss).unwrap();
        // A process that ended while it wrote.
        let mut torn = fs::read(&path).unwrap();
        torn.extend(&record::encode(&loss)[..9]);
        fs::write(&path, torn).unwrap();
        EventFile::open(folder.path(), 3.0, 1).unwrap().append(&loss).unwrap();
        // One step is complete, so the second is the first to be discarded.
        let events = [event::version(1.0), loss.clone(), event::session_start(3.0, 2), loss];
        let expected: Vec<u8> = events.iter().flat_map(|event| record::encode(event)).collect();
        assert_eq!(fs::read(&path).unwrap(), expected);
        EventFile::open(folder.path(), 4.0, 0).unwrap();
        assert_eq!(fs::read(&path).unwrap(), record::encode(&event::version(4.0)));
    }
}
