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
