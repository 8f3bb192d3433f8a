use super::step_record::StepRecord;
use crate::error::TrainError;
use crate::metrics::EpochMetrics;

/// Receives the measurements of a training; see [`Trainer::with_observer`](crate::Trainer::with_observer).
///
/// Every method does nothing by default. A closure that takes `&EpochMetrics` is an observer of epochs.
///
/// An observer never changes or ends a training that has started: after its first error it is switched off, the training
/// continues, and [`Trained::observer_errors`](crate::Trained::observer_errors) has the error, which is also printed where
/// progress is shown. Only an error of [`begin`](Self::begin) is returned by [`Trainer::fit`](crate::Trainer::fit), before
/// the first step. A custom observer reports its own errors as [`TrainError::Observer`].
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
    /// Called once, before the first step of a training or of its resumption.
    ///
    /// Where `completed` is behind what was observed before, as after a kill, the steps and epochs after it will be observed
    /// again.
    ///
    /// # Errors
    ///
    /// The training does not start.
    fn begin(&mut self, completed: Completed) -> Result<(), TrainError> {
        let _ = completed;
        Ok(())
    }

    /// Called after every step whose loss and gradients were finite. The values are on the host already: observing a step
    /// does not synchronise with the device.
    ///
    /// # Errors
    ///
    /// The observer is switched off.
    fn step(&mut self, step: &StepRecord) -> Result<(), TrainError> {
        let _ = step;
        Ok(())
    }

    /// Called after every epoch and its validation.
    ///
    /// # Errors
    ///
    /// The observer is switched off.
    fn epoch(&mut self, epoch: &EpochMetrics) -> Result<(), TrainError> {
        let _ = epoch;
        Ok(())
    }
}

/// How much of a training has been completed; zero for a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// Epochs.
    pub epochs: usize,
    /// Steps of all epochs.
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
