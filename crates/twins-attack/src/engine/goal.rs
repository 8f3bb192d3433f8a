use serde::{Deserialize, Serialize};

use crate::engine::search::Subject;
use crate::error::AttackError;
use crate::losses::loss::ranking;
use crate::model::classifier::argmax;

/// What counts as success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Any class but the label.
    Untargeted,
    /// The class of this rank on the clean image: 2 is the runner-up.
    Rank(usize),
    /// The least likely class on the clean image.
    LeastLikely,
    /// The classes given by [`Samples::with_targets`](crate::Samples::with_targets).
    Given,
}

impl Goal {
    /// The class to reach on this sample, if the goal is targeted.
    ///
    /// # Errors
    /// [`AttackError::NoTargets`], [`AttackError::TargetRank`].
    pub fn target(self, subject: &Subject<'_>) -> Result<Option<usize>, AttackError> {
        let classes = subject.clean.len();
        match self {
            Goal::Untargeted => Ok(None),
            Goal::Given => subject.target.map(Some).ok_or(AttackError::NoTargets),
            Goal::LeastLikely => Ok(ranking(subject.clean).last().copied()),
            Goal::Rank(rank) if (2..=classes).contains(&rank) => Ok(Some(ranking(subject.clean)[rank - 1])),
            Goal::Rank(rank) => Err(AttackError::TargetRank { rank, classes }),
        }
    }
}

/// Whether the goal is reached: the target seen, or without one anything but the label.
pub(crate) fn reached(logits: &[f32], label: usize, target: Option<usize>) -> bool {
    let seen = argmax(logits);
    target.map_or(seen != label, |target| seen == target)
}

/// Which point an attack returns, of one run and of several (see [`RunSelection`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Returned {
    /// The first one that reaches the goal, where the sample then leaves the batch; the best one if none does.
    FirstFooled,
    /// The last one, whatever came before (the published PGD).
    Last,
    /// The one with the largest loss of all runs (for training against the strongest loss).
    BestLoss,
}

impl Returned {
    /// How an attack that returns this point combines its runs.
    pub(crate) fn run_selection(self) -> RunSelection {
        match self {
            Returned::FirstFooled | Returned::Last => RunSelection::FirstFooled,
            Returned::BestLoss => RunSelection::Strongest,
        }
    }
}

/// How the runs of an attack on one sample, its restarts and targets, are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunSelection {
    /// The first run that reaches the goal ends the attack on the sample; if none does, the strongest point is returned.
    FirstFooled,
    /// All runs are made, and the strongest point is returned.
    Strongest,
}

/// In how many of several passes over the same point a run's goal was reached.
///
/// With repeated passes (expectation over transformation), one pass in which a randomised model errs is no reason to stop:
/// the majority of the passes must.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Votes {
    passes: usize,
    successes: usize,
}

impl Votes {
    /// Counts the logits of a pass.
    pub(crate) fn count(&mut self, logits: &[f32], label: usize, target: Option<usize>) {
        self.passes += 1;
        self.successes += usize::from(reached(logits, label, target));
    }

    /// Whether the goal was reached in the majority of the passes; starts to count anew.
    pub(crate) fn take_majority(&mut self) -> bool {
        let Self { passes, successes } = std::mem::take(self);
        2 * successes > passes
    }
}
