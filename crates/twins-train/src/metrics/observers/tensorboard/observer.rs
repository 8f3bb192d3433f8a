use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::event;
use super::event_file::EventFile;
use crate::error::TrainError;
use crate::metrics::EpochMetrics;
use crate::metrics::observers::observer::{Completed, TrainingObserver};
use crate::metrics::observers::scalars::{Scalar, of_epoch, of_step};
use crate::metrics::observers::step_record::StepRecord;

/// Writes an event file for TensorBoard: `tensorboard --logdir DIRECTORY`.
///
/// Numbers of steps are under `step/`, those of epochs under `epoch/`; both have the step since the beginning of the training
/// as their position. Accuracies are fractions. Accuracies that the objective measured are under `epoch/objective/`; values
/// of single layers are left out. A training that is resumed continues the file, and TensorBoard forgets steps that it saw
/// before and that are trained again; a new training starts the file anew. Give every training a directory of its own.
///
/// ```
/// use twins_train::TensorBoardObserver;
///
/// let observer = TensorBoardObserver::new("runs/1/tensorboard");
/// ```
pub struct TensorBoardObserver {
    directory: PathBuf,
    events: Option<EventFile>,
}

impl TensorBoardObserver {
    /// An observer whose file is in a directory, which is created when the training starts.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), events: None }
    }

    fn append(&mut self, step: usize, values: &[(String, f64)]) -> Result<(), TrainError> {
        let event = event::scalars(wall_time(), step as u64, values);
        self.events.as_mut().map_or(Ok(()), |events| events.append(&event))
    }
}

impl TrainingObserver for TensorBoardObserver {
    fn begin(&mut self, completed: Completed) -> Result<(), TrainError> {
        self.events = Some(EventFile::open(&self.directory, wall_time(), completed.steps)?);
        Ok(())
    }

    fn step(&mut self, step: &StepRecord) -> Result<(), TrainError> {
        self.append(step.step, &named("step", &of_step(step)))
    }

    fn epoch(&mut self, epoch: &EpochMetrics) -> Result<(), TrainError> {
        let mut values = named("epoch", &of_epoch(epoch));
        let objective = epoch.objective_accuracies.iter();
        values.extend(
            objective.map(|(name, accuracy)| (format!("epoch/objective/{name}"), accuracy.fraction())),
        );
        self.append(epoch.steps, &values)
    }
}

/// The numbers that were measured.
fn named(group: &str, scalars: &[Scalar]) -> Vec<(String, f64)> {
    scalars.iter().filter_map(|(name, value)| Some((format!("{group}/{name}"), (*value)?))).collect()
}

/// Seconds since 1970; 0 where the clock is before.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
