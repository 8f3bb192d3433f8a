use std::ops::ControlFlow;

use super::outcome::Outcome;

/// How far an evaluation has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress<'a> {
    /// Name of the present stage, as in the report.
    pub attack: &'a str,
    /// Place of the stage, and the number of stages.
    pub stage: (usize, usize),
    /// Samples whose outcome in this stage is known, of those it attacks.
    pub finished: (usize, usize),
    /// Samples that no attack has broken so far, of all: robust accuracy cannot come out higher.
    pub surviving: (usize, usize),
    /// Estimated fraction of the whole evaluation's model calls already made in this call, in [0, 1], on the assumption
    /// that no further sample is broken. The time left is about `elapsed · (1 - fraction) / fraction`.
    pub fraction: f64,
    /// Seconds since the evaluation was started or resumed.
    pub elapsed: f64,
}

/// Receives the progress and the outcomes of an evaluation.
pub trait Observer {
    /// Called after each batch. Breaking ends the evaluation with
    /// [`AttackError::Stopped`](crate::AttackError::Stopped).
    fn progress(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        let _ = progress;
        ControlFlow::Continue(())
    }

    /// Called when the outcome of a sample in a stage is known, after it has been written to the journal. Outcomes that were
    /// read from a journal are not repeated. Breaking ends the evaluation with
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
