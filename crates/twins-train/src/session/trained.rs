use crate::checkpoints::Best;
use crate::error::TrainError;
use crate::metrics::EpochMetrics;

/// The outcome of a training run.
///
/// Parameters that the run froze, with [`Tuning`](crate::Tuning) or [`TrainConfig::freeze`](crate::TrainConfig::freeze), are
/// trainable again in both models if they were in the given one.
#[derive(Debug)]
pub struct Trained<M> {
    /// The model after the last step, in training mode.
    pub last: M,
    /// The resulting model. With a validation split, it is the model with the best robust accuracy on that split. Without
    /// a validation split, or if no epoch was finished, it is the last model, with its averaged weights if there are any.
    pub best: M,
    /// The best epoch; `None` if nothing was validated.
    pub best_epoch: Option<Best>,
    /// The metrics of every epoch, including those before a resumption.
    pub history: Vec<EpochMetrics>,
    /// Why the run ended.
    pub ended: Ended,
    /// The error of the last checkpoint, if it is damaged and the run was resumed from an earlier one.
    pub damaged_checkpoint: Option<TrainError>,
    /// The errors of observers. Each observer was disabled after its error.
    pub observer_errors: Vec<TrainError>,
}

/// Why a training run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All epochs were completed.
    Completed,
    /// The validation robust accuracy had stopped rising.
    StoppedEarly,
    /// The stop flag was set; the state was saved if there is a run directory.
    Interrupted,
}
