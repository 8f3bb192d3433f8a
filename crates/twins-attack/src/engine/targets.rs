use serde::{Deserialize, Serialize};

use super::malt::malt_order;
use super::query::Model;
use super::sample::Sample;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::losses::ranking::ranking;
use crate::norms::norm::Norm;

/// The classes that an attack aims at, one run per class.
///
/// The [`Criterion`](crate::Criterion) sets separately what counts as success. The targeted attacks of AutoAttack aim
/// at one class after the other and succeed as soon as the model predicts any class other than the label.
///
/// The label has rank 1, and the wrong classes follow in the order of their logits on the clean image. This also holds
/// for a misclassified image, which only [`Pgd::perturb`](crate::Pgd::perturb) attacks: no attack aims at the label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// No class: the attack is untargeted and leads away from the label.
    #[default]
    None,
    /// The classes ranked 2, 3, ... on the clean image: this many of them, or all wrong classes if there are fewer.
    Top(usize),
    /// The class with this rank on the clean image, where 2 is the most likely wrong class.
    Rank(usize),
    /// The least likely wrong class on the clean image.
    LeastLikely,
    /// The classes with the nearest linearised boundaries, in order of increasing distance, as chosen by MALT (Melamed
    /// et al. 2024, arXiv 2407.02240).
    ///
    /// MALT compares the `candidates` most likely wrong classes `k` on the clean image. It chooses the `targets`
    /// classes with the smallest score `(max z - z_k) / ‖∇(z_k - z_y)‖*`, in the dual norm of the threat model. The
    /// logits alone do not show how fast a class gains. The gradients are computed once per sample. L0 has no dual norm
    /// and is refused.
    ///
    /// The authors count only the target class as success. To do the same, set
    /// [`Criterion::ClassifiedAsTarget`](crate::Criterion::ClassifiedAsTarget). Otherwise, any misclassification ends
    /// the attack on the sample, so the attack can only find more.
    ///
    /// ```
    /// use twins_attack::{ApgdConfig, Attack, Criterion, Norm, Targets, ThreatModel};
    /// let threat = ThreatModel::new(Norm::Linf, 8.0 / 255.0)?;
    /// let published = ApgdConfig::targeted(threat, 9).with_targets(Targets::malt());
    /// let published = published.with_criterion(Criterion::ClassifiedAsTarget).build()?;
    /// // 9 runs of 101 passes, and 99 gradients for the choice.
    /// assert_eq!(published.budget(100), 9 * 101 + 99);
    /// # Ok::<(), twins_attack::AttackError>(())
    /// ```
    Malt {
        /// The number of classes that are compared.
        candidates: usize,
        /// The number of them that the attack aims at.
        targets: usize,
    },
    /// The class given by [`Samples::with_targets`](crate::Samples::with_targets).
    Given,
}

impl Targets {
    /// The number of classes that the targeted attacks of AutoAttack and of MALT's authors aim at.
    pub(crate) const PUBLISHED: usize = 9;

    /// MALT's choice with the authors' settings: 9 targets among 100 candidates.
    pub fn malt() -> Self {
        Self::malt_of(Self::PUBLISHED)
    }

    /// MALT's choice of this many targets among the authors' 100 candidates.
    pub(crate) fn malt_of(targets: usize) -> Self {
        Targets::Malt { candidates: 100, targets }
    }

    /// The number of runs for a model with this many classes.
    pub fn runs(self, classes: usize) -> usize {
        match self {
            Targets::Top(count) => count.min(classes - 1),
            Targets::Malt { candidates, targets } => targets.min(candidates).min(classes - 1),
            Targets::None | Targets::Rank(_) | Targets::LeastLikely | Targets::Given => 1,
        }
    }

    /// The requested number of runs, regardless of the number of classes.
    pub(crate) fn wanted(self) -> usize {
        self.runs(usize::MAX)
    }

    /// The number of gradients at the clean image that the choice of targets needs per sample, for a model with this
    /// many classes.
    pub(crate) fn choice_gradients(self, classes: usize) -> usize {
        match self {
            Targets::Malt { candidates, .. } => candidates.min(classes - 1),
            Targets::None | Targets::Top(_) | Targets::Rank(_) | Targets::LeastLikely | Targets::Given => 0,
        }
    }

    /// Chooses the class that a run on a sample aims at, or `None` if the run is untargeted. `norm` is the norm of the
    /// threat model.
    pub(crate) async fn choose(
        self,
        sample: &Sample<'_>,
        model: &mut Model,
        norm: Norm,
        attack: &str,
    ) -> Result<Option<usize>, AttackError> {
        let Targets::Malt { candidates, .. } = self else {
            return self.of_clean(sample.clean, sample.label, sample.target, sample.run);
        };
        let Some(dual) = norm.dual() else {
            return Err(SettingError::NoDualNorm { attack: attack.to_owned(), norm }.into());
        };
        let order = match sample.malt_order.get() {
            Some(order) => order,
            None => {
                let order = malt_order(sample, model, dual, candidates).await;
                sample.malt_order.get_or_init(|| order)
            }
        };
        Ok(Some(order[sample.run % self.runs(sample.clean.len())]))
    }

    /// The class that a run aims at according to the clean logits. `given` is the sample's own target.
    pub(crate) fn of_clean(
        self,
        clean: &[f32],
        label: usize,
        given: Option<usize>,
        run: usize,
    ) -> Result<Option<usize>, AttackError> {
        let classes = clean.len();
        let rank = match self {
            Targets::None => return Ok(None),
            Targets::Given => return given.map(Some).ok_or(AttackError::NoTargets),
            Targets::Top(_) => 2 + run % self.runs(classes),
            Targets::Malt { .. } => return Err(SettingError::MaltInTraining.into()),
            Targets::Rank(rank) => rank,
            Targets::LeastLikely => classes,
        };
        if !(2..=classes).contains(&rank) {
            return Err(AttackError::TargetRank { rank, classes });
        }
        let mut wrong = ranking(clean).into_iter().filter(|&class| class != label);
        Ok(wrong.nth(rank - 2))
    }

    /// # Errors
    /// [`SettingError::ZeroSteps`] if the number of targets or candidates is 0, [`SettingError::NoDualNorm`] for MALT's
    /// choice in L0.
    pub(crate) fn check(self, attack: &'static str, norm: Norm) -> Result<(), AttackError> {
        match self {
            Targets::Top(0) | Targets::Malt { targets: 0, .. } => {
                Err(SettingError::ZeroSteps { attack, what: "targets" }.into())
            }
            Targets::Malt { candidates: 0, .. } => {
                Err(SettingError::ZeroSteps { attack, what: "candidates" }.into())
            }
            Targets::Malt { .. } if norm.dual().is_none() => {
                Err(SettingError::NoDualNorm { attack: attack.to_owned(), norm }.into())
            }
            _ => Ok(()),
        }
    }
}
