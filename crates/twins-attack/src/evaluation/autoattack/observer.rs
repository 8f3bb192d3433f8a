use std::ops::ControlFlow;

use super::Outcome;

/// How far an evaluation has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress<'a> {
    /// Name of the present attack.
    pub attack: &'a str,
    /// Place of the attack in the sequence, and the length of the sequence.
    pub stage: (usize, usize),
    /// Samples whose outcome in this stage is known, of those it attacks.
    pub finished: (usize, usize),
    /// Samples that are right so far, of all: robust accuracy cannot come out higher.
    pub standing: (usize, usize),
    /// Estimated share of the whole evaluation's model calls already made in this call, in [0, 1], on the assumption
    /// that no further sample falls. The time left is about `elapsed · (1 - share) / share`.
    pub share: f64,
    /// Seconds since the evaluation was started or resumed.
    pub elapsed: f64,
}

/// Somebody who watches an evaluation, shows its progress and saves its outcomes.
pub trait Observer {
    /// Called after each batch. Breaking off ends the evaluation with
    /// [`AttackError::Stopped`](crate::AttackError::Stopped).
    fn progress(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        let _ = progress;
        ControlFlow::Continue(())
    }

    /// Called once at the start with the state to be saved, which outcomes are appended to. When an evaluation is
    /// resumed it holds the earlier outcomes.
    fn started(&mut self, state: &super::EvaluationState) -> ControlFlow<()> {
        let _ = state;
        ControlFlow::Continue(())
    }

    /// Called when the outcome of a sample in a stage is known.
    fn outcome(&mut self, outcome: &Outcome) -> ControlFlow<()> {
        let _ = outcome;
        ControlFlow::Continue(())
    }
}

/// An observer that does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}
