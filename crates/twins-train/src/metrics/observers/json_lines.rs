use std::path::PathBuf;

use serde::Serialize;

use super::line_file::LineFile;
use super::observer::{Completed, TrainingObserver};
use super::step_record::StepRecord;
use crate::error::TrainError;
use crate::metrics::EpochMetrics;

/// Writes JSON lines: `steps.jsonl` with a [`StepRecord`] per step and `epochs.jsonl` with an [`EpochMetrics`] per epoch.
///
/// A resumed run appends to the files, and a new run overwrites them.
///
/// ```
/// use twins_train::JsonLinesObserver;
///
/// let observer = JsonLinesObserver::new("runs/1/log");
/// ```
pub struct JsonLinesObserver {
    directory: PathBuf,
    files: Option<[LineFile; 2]>,
}

impl JsonLinesObserver {
    /// Creates an observer that writes to a directory, which is created when training starts.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), files: None }
    }

    fn append(&mut self, file: usize, record: &impl Serialize) -> Result<(), TrainError> {
        let line = serde_json::to_string(record).expect("a record is plain data");
        self.files.as_mut().map_or(Ok(()), |files| files[file].append(&line))
    }
}

const STEPS: usize = 0;
const EPOCHS: usize = 1;

impl TrainingObserver for JsonLinesObserver {
    fn begin(&mut self, completed: Completed) -> Result<(), TrainError> {
        let steps = LineFile::open(self.directory.join("steps.jsonl"), |line| {
            serde_json::from_str::<StepRecord>(line).is_ok_and(|record| record.step <= completed.steps)
        })?;
        let epochs = LineFile::open(self.directory.join("epochs.jsonl"), |line| {
            serde_json::from_str::<EpochMetrics>(line).is_ok_and(|record| record.epoch <= completed.epochs)
        })?;
        self.files = Some([steps, epochs]);
        Ok(())
    }

    fn step(&mut self, step: &StepRecord) -> Result<(), TrainError> {
        self.append(STEPS, step)
    }

    fn epoch(&mut self, epoch: &EpochMetrics) -> Result<(), TrainError> {
        self.append(EPOCHS, epoch)
    }
}
