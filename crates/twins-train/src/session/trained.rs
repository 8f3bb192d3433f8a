use crate::checkpoints::Best;
use crate::error::TrainError;
use crate::metrics::EpochMetrics;

/// What a training left.
#[derive(Debug)]
pub struct Trained<M> {
    /// The model after the last step, in training mode.
    pub last: M,
    /// The result of the training. With a validation, the model with the best robust accuracy on it. Without one, or where
    /// no epoch was finished, the last model: its averaged weights where there are any.
    pub best: M,
    /// The best epoch; `None` where nothing was validated.
    pub best_epoch: Option<Best>,
    /// The metrics of every epoch, those before a resumption included.
    pub history: Vec<EpochMetrics>,
    /// Why it ended.
    pub ended: Ended,
    /// What was wrong with the last checkpoint, where an earlier one was resumed from.
    pub fell_back: Option<TrainError>,
    /// The errors of observers, each of which was switched off by its error.
    pub observer_errors: Vec<TrainError>,
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All epochs were run.
    Completed,
    /// The validation robust accuracy had stopped rising.
    StoppedEarly,
    /// The stop flag was raised; the state was saved.
    Interrupted,
}
