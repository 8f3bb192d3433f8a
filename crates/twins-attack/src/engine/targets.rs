use serde::{Deserialize, Serialize};

use super::query::Model;
use super::sample::Sample;
use crate::error::AttackError;
use crate::losses::ranking::ranking;

/// The classes that an attack aims at, one run for each.
///
/// What counts as success is a setting of its own, the [`Criterion`](crate::Criterion): the targeted attacks of AutoAttack
/// aim at one class after the other and succeed as soon as the model predicts any class but the label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// No class: away from the label.
    #[default]
    None,
    /// The classes ranked 2, 3, ... by the logits of the clean image: so many of them, as far as there are.
    Top(usize),
    /// The class of this rank on the clean image; 2 is the runner-up.
    Rank(usize),
    /// The least likely class on the clean image.
    LeastLikely,
    /// The class given by [`Samples::with_targets`](crate::Samples::with_targets).
    Given,
}

impl Targets {
    /// How many runs that makes for a model with so many classes.
    pub fn runs(self, classes: usize) -> usize {
        match self {
            Targets::Top(count) => count.min(classes - 1),
            Targets::None | Targets::Rank(_) | Targets::LeastLikely | Targets::Given => 1,
        }
    }

    /// The class that a run on a sample aims at; none if the run only leads away from the label.
    pub(crate) async fn choose(
        self,
        sample: &Sample<'_>,
        _model: &mut Model,
    ) -> Result<Option<usize>, AttackError> {
        self.of_clean(sample.clean, sample.target, sample.run)
    }

    /// The class that a run aims at, by the clean logits; `given` is the sample's own target.
    pub(crate) fn of_clean(
        self,
        clean: &[f32],
        given: Option<usize>,
        run: usize,
    ) -> Result<Option<usize>, AttackError> {
        let classes = clean.len();
        let rank = match self {
            Targets::None => return Ok(None),
            Targets::Given => return given.map(Some).ok_or(AttackError::NoTargets),
            Targets::Top(_) => 2 + run % self.runs(classes),
            Targets::Rank(rank) => rank,
            Targets::LeastLikely => classes,
        };
        if !(2..=classes).contains(&rank) {
            return Err(AttackError::TargetRank { rank, classes });
        }
        Ok(Some(ranking(clean)[rank - 1]))
    }

    /// # Errors
    /// [`AttackError::ZeroSteps`] if there are to be no targets.
    pub(crate) fn check(self, attack: &'static str) -> Result<(), AttackError> {
        if self == Targets::Top(0) { Err(AttackError::ZeroSteps { attack, what: "targets" }) } else { Ok(()) }
    }
}
