use serde::{Deserialize, Serialize};

use crate::engine::search::Subject;
use crate::error::AttackError;
use crate::losses::loss::ranking;

/// Which classes a targeted attack of the AutoAttack family aims at, one run each. A sample counts as fooled as soon
/// as any class but its label is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// No class: away from the label.
    None,
    /// The classes ranked 2, 3, ... on the clean image, so many of them, as far as there are.
    Top(usize),
    /// The class of this rank alone; 2 is the runner-up.
    Rank(usize),
    /// The class given by [`Samples::with_targets`](crate::Samples::with_targets).
    Given,
}

impl Targets {
    /// How many runs that makes.
    pub(crate) fn runs(self, classes: usize) -> usize {
        match self {
            Targets::Top(count) => count.min(classes - 1),
            _ => 1,
        }
    }

    /// The class to aim at in this run.
    pub(crate) fn target(self, subject: &Subject<'_>, run: usize) -> Result<Option<usize>, AttackError> {
        let classes = subject.clean.len();
        let rank = match self {
            Targets::None => return Ok(None),
            Targets::Given => return subject.target.map(Some).ok_or(AttackError::NoTargets),
            Targets::Top(_) => 2 + run % self.runs(classes),
            Targets::Rank(rank) => rank,
        };
        if !(2..=classes).contains(&rank) {
            return Err(AttackError::TargetRank { rank, classes });
        }
        Ok(Some(ranking(subject.clean)[rank - 1]))
    }

    pub(crate) fn check(self, attack: &'static str) -> Result<(), AttackError> {
        if self == Targets::Top(0) { Err(AttackError::ZeroSteps { attack, what: "targets" }) } else { Ok(()) }
    }
}
