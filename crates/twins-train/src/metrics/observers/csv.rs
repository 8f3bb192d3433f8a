use std::path::PathBuf;

use super::line_file::LineFile;
use super::observer::{Completed, TrainingObserver};
use super::scalars::{Scalar, of_epoch, of_step};
use super::step_record::StepRecord;
use crate::error::TrainError;
use crate::metrics::EpochMetrics;

/// Writes CSV files with a header: `steps.csv` with a row per step and `epochs.csv` with a row per epoch.
///
/// Accuracies are fractions, and a value that was not measured is empty. Values of single layers and of the objective are
/// omitted, because their names depend on the model and the method; [`JsonLinesObserver`](crate::JsonLinesObserver) writes
/// them. A resumed run appends to the files, and a new run overwrites them.
///
/// ```
/// use twins_train::CsvObserver;
///
/// let observer = CsvObserver::new("runs/1/log");
/// ```
pub struct CsvObserver {
    directory: PathBuf,
    steps: Option<LineFile>,
    epochs: Option<LineFile>,
}

impl CsvObserver {
    /// Creates an observer that writes to a directory, which is created when training starts.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), steps: None, epochs: None }
    }

    /// Opens a table and keeps the rows up to `completed`, which is a step or an epoch. If it is 0, nothing is kept, because the
    /// header may be that of another program's table.
    fn open(&self, name: &str, completed: usize) -> Result<LineFile, TrainError> {
        // The header is the only row that does not begin with a number.
        LineFile::open(self.directory.join(name), |row| {
            let position = row.split(',').next().unwrap_or_default();
            let is_header = position == "step" || position == "epoch";
            completed > 0 && position.parse::<usize>().map_or(is_header, |at| at <= completed)
        })
    }
}

/// Appends a row. Writes the header first if the file is empty. Names and numbers contain neither commas nor quotation marks, so no
/// CSV library is needed.
fn append(
    file: &mut LineFile,
    position: [(&'static str, usize); 2],
    scalars: &[Scalar],
) -> Result<(), TrainError> {
    let row = |position: [String; 2], scalars: Vec<String>| [position.to_vec(), scalars].concat().join(",");
    if file.is_empty()? {
        let names = scalars.iter().map(|(name, _)| (*name).to_owned()).collect();
        file.append(&row(position.map(|(name, _)| name.to_owned()), names))?;
    }
    let values = scalars.iter().map(|(_, value)| value.map_or(String::new(), |value| value.to_string()));
    file.append(&row(position.map(|(_, value)| value.to_string()), values.collect()))
}

impl TrainingObserver for CsvObserver {
    fn begin(&mut self, completed: Completed) -> Result<(), TrainError> {
        self.steps = Some(self.open("steps.csv", completed.steps)?);
        self.epochs = Some(self.open("epochs.csv", completed.epochs)?);
        Ok(())
    }

    fn step(&mut self, step: &StepRecord) -> Result<(), TrainError> {
        let position = [("step", step.step), ("epoch", step.epoch)];
        self.steps.as_mut().map_or(Ok(()), |file| append(file, position, &of_step(step)))
    }

    fn epoch(&mut self, epoch: &EpochMetrics) -> Result<(), TrainError> {
        let position = [("epoch", epoch.epoch), ("steps", epoch.steps)];
        self.epochs.as_mut().map_or(Ok(()), |file| append(file, position, &of_epoch(epoch)))
    }
}
