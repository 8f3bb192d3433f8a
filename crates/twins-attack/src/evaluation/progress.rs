use std::ops::ControlFlow;

use super::outcome::Outcome;

/// The progress of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress<'a> {
    /// Name of the current stage, as in the report.
    pub attack: &'a str,
    /// Index of the stage, and the number of stages.
    pub stage: (usize, usize),
    /// Number of samples whose outcome in this stage is known, and number of samples that the stage attacks.
    pub finished: (usize, usize),
    /// Number of samples that no attack has broken so far, and number of all samples. Their ratio is an upper bound on
    /// the final robust accuracy.
    pub surviving: (usize, usize),
    /// Estimated fraction of the model calls that have been made, in [0, 1]. It counts the calls since the evaluation
    /// was started or resumed and assumes that no further sample is broken. The remaining time is about
    /// `elapsed · (1 - fraction) / fraction`.
    pub fraction: f64,
    /// Seconds since the evaluation was started or resumed.
    pub elapsed: f64,
}

/// Receives the progress and the outcomes of an evaluation.
pub trait Observer {
    /// Called after each batch. Returning `Break` ends the evaluation with
    /// [`AttackError::Stopped`](crate::AttackError::Stopped).
    fn progress(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        let _ = progress;
        ControlFlow::Continue(())
    }

    /// Called when the outcome of a sample in a stage is known, after it has been written to the journal. It is not
    /// called for outcomes that were read from a journal. Returning `Break` ends the evaluation with
    /// [`AttackError::Stopped`](crate::AttackError::Stopped).
    fn outcome(&mut self, outcome: &Outcome) -> ControlFlow<()> {
        let _ = outcome;
        ControlFlow::Continue(())
    }
}

/// An observer that does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}
