use super::step_record::StepRecord;
use crate::error::TrainError;
use crate::metrics::EpochMetrics;

/// Receives the measurements of a training run; see [`Trainer::with_observer`](crate::Trainer::with_observer).
///
/// Every method does nothing by default. A closure that takes `&EpochMetrics` is an observer of epochs.
///
/// An observer cannot change or stop training that has started. After its first error, the observer is disabled and
/// training continues. The error is added to [`Trained::observer_errors`](crate::Trained::observer_errors), and it is
/// printed if progress is shown. Only an error of [`begin`](Self::begin) is returned by
/// [`Trainer::fit`](crate::Trainer::fit), before the first step. A custom observer reports its own errors as
/// [`TrainError::Observer`].
///
/// ```
/// use twins_train::{StepRecord, TrainError, TrainingObserver};
///
/// /// The largest gradient norm so far.
/// struct LargestGradient(f64);
///
/// impl TrainingObserver for LargestGradient {
///     fn step(&mut self, step: &StepRecord) -> Result<(), TrainError> {
///         self.0 = self.0.max(step.gradient_norm);
///         Ok(())
///     }
/// }
/// ```
pub trait TrainingObserver {
    /// Called once, before the first step of a new or resumed training run.
    ///
    /// After a run was killed, `completed` may be earlier than the steps and epochs that were observed. Those after
    /// `completed` are then observed again.
    ///
    /// # Errors
    ///
    /// Training does not start.
    fn begin(&mut self, completed: Completed) -> Result<(), TrainError> {
        let _ = completed;
        Ok(())
    }

    /// Called after every step whose loss and gradients are finite. The values are on the host already, so observing a
    /// step does not synchronise with the device.
    ///
    /// # Errors
    ///
    /// The observer is disabled.
    fn step(&mut self, step: &StepRecord) -> Result<(), TrainError> {
        let _ = step;
        Ok(())
    }

    /// Called after every epoch and its validation.
    ///
    /// # Errors
    ///
    /// The observer is disabled.
    fn epoch(&mut self, epoch: &EpochMetrics) -> Result<(), TrainError> {
        let _ = epoch;
        Ok(())
    }
}

/// How much of a training run has been completed; zero for a new run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// The number of completed epochs.
    pub epochs: usize,
    /// The number of completed steps of all epochs.
    pub steps: usize,
}

impl<F: FnMut(&EpochMetrics)> TrainingObserver for F {
    fn epoch(&mut self, epoch: &EpochMetrics) -> Result<(), TrainError> {
        self(epoch);
        Ok(())
    }
}

impl TrainingObserver for Box<dyn TrainingObserver> {
    fn begin(&mut self, completed: Completed) -> Result<(), TrainError> {
        self.as_mut().begin(completed)
    }

    fn step(&mut self, step: &StepRecord) -> Result<(), TrainError> {
        self.as_mut().step(step)
    }

    fn epoch(&mut self, epoch: &EpochMetrics) -> Result<(), TrainError> {
        self.as_mut().epoch(epoch)
    }
}
