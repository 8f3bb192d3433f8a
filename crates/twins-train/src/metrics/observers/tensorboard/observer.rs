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
/// The tags of step values begin with `step/`, those of epoch values with `epoch/`, and those of accuracies that the
/// objective measured with `epoch/objective/`. The position of every value is the step since the beginning of training.
/// Accuracies are fractions, and values of single layers are omitted.
///
/// A resumed run appends to the file, and TensorBoard discards earlier values of steps that are trained again. A new run
/// overwrites the file. Use a separate directory for every run.
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
    /// Creates an observer that writes to a directory, which is created when training starts.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), events: None }
    }

    fn append(&mut self, step: usize, values: &[(String, f64)]) -> Result<(), TrainError> {
        let event = event::scalars(wall_time(SystemTime::now()), step as u64, values);
        self.events.as_mut().map_or(Ok(()), |events| events.append(&event))
    }
}

impl TrainingObserver for TensorBoardObserver {
    fn begin(&mut self, completed: Completed) -> Result<(), TrainError> {
        self.events = Some(EventFile::open(&self.directory, wall_time(SystemTime::now()), completed.steps)?);
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

/// Selects the numbers that were measured and puts their group in front of their names.
fn named(group: &str, scalars: &[Scalar]) -> Vec<(String, f64)> {
    scalars.iter().filter_map(|(name, value)| Some((format!("{group}/{name}"), (*value)?))).collect()
}

/// The time in seconds since 1970; 0 if the clock is earlier.
fn wall_time(clock: SystemTime) -> f64 {
    clock.duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_before_1970_is_at_0() {
        let half = Duration::from_millis(500);
        assert_eq!(wall_time(UNIX_EPOCH - half), 0.0);
        assert_eq!(wall_time(UNIX_EPOCH + half), 0.5);
    }
}
