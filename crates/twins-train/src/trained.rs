use crate::{Best, EpochMetrics, TrainError};

/// What a training left.
#[derive(Debug)]
pub struct Trained<M> {
    /// The model after the last step, in training mode.
    pub last: M,
    /// The model with the best robust accuracy on the validation split; the last one where no epoch was finished.
    pub best: M,
    /// Which epoch that was.
    pub best_epoch: Option<Best>,
    /// The metrics of every epoch, those before a resumption included.
    pub history: Vec<EpochMetrics>,
    /// Why it ended.
    pub ended: Ended,
    /// What was wrong with the last checkpoint, where an earlier one was resumed from.
    pub fell_back: Option<TrainError>,
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
