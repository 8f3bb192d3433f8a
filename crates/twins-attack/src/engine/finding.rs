use serde::{Deserialize, Serialize};

/// The point at which a run of an attack on a sample ended.
///
/// The engine does not rely on a claim of success. It checks the point again (see
/// [`VerificationRule`](crate::VerificationRule)).
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The image that the attack returns. It must lie inside the threat model.
    pub point: Vec<f32>,
    /// Whether the attack claims success at the point (see [`Criterion`](crate::Criterion)).
    pub fooled: bool,
    /// The model's logits at the point.
    pub logits: Vec<f32>,
    /// The strength of the point in the attack's own terms, where larger is stronger: the loss that the attack
    /// maximises, or minus the distance for a minimum-norm attack. It decides between the runs on one sample
    /// ([`RunSelection`]).
    pub loss: f32,
}

impl Finding {
    /// The result if nothing was found: the clean image and its logits.
    pub(super) fn clean(image: &[f32], logits: &[f32]) -> Self {
        Self { point: image.to_vec(), fooled: false, logits: logits.to_vec(), loss: f32::NEG_INFINITY }
    }
}

/// Which point an attack returns from one run and from several runs (see [`RunSelection`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Returned {
    /// The first point that succeeds, after which the sample leaves the batch; the strongest point if none succeeds.
    FirstFooled,
    /// The last point, whatever came before it (the published PGD).
    Last,
    /// The point with the largest loss of all runs.
    BestLoss,
}

impl Returned {
    /// How an attack with this setting combines its runs.
    pub fn run_selection(self) -> RunSelection {
        match self {
            Returned::FirstFooled | Returned::Last => RunSelection::FirstFooled,
            Returned::BestLoss => RunSelection::Strongest,
        }
    }
}

/// How the runs of an attack on one sample, its restarts and targets, are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunSelection {
    /// The first run that succeeds ends the attack on the sample. If none succeeds, the strongest point is returned.
    FirstFooled,
    /// All runs are made, and the strongest point of all is returned.
    Strongest,
    /// All runs are made, and the strongest point of the successful runs is returned. If none succeeded, it is the
    /// strongest point of all runs. This is for minimum-norm attacks, whose strongest point is the nearest one: a
    /// refuted claim must not replace a success that is farther away.
    StrongestSuccess,
}

impl RunSelection {
    /// Combines the result of the earlier runs with that of one more run. The later finding replaces the earlier one if
    /// its loss is larger, or if it succeeded and success takes precedence.
    pub(crate) fn combine(self, earlier: Option<Finding>, later: Finding) -> Finding {
        let Some(earlier) = earlier else { return later };
        // A loss that is NaN is the weakest, whichever run came first.
        let stronger = later.loss > earlier.loss || (earlier.loss.is_nan() && !later.loss.is_nan());
        let replaces = match self {
            RunSelection::FirstFooled => later.fooled || stronger,
            RunSelection::Strongest => stronger,
            RunSelection::StrongestSuccess if later.fooled == earlier.fooled => stronger,
            RunSelection::StrongestSuccess => later.fooled,
        };
        if replaces { later } else { earlier }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(fooled: bool, loss: f32) -> Finding {
        Finding { point: vec![], fooled, logits: vec![], loss }
    }

    #[test]
    fn success_decides_only_where_the_first_success_ends_the_attack() {
        let (strong, fooling) = (finding(false, 2.0), finding(true, 1.0));
        let combined = |selection: RunSelection| selection.combine(Some(strong.clone()), fooling.clone());
        assert_eq!(combined(RunSelection::FirstFooled), fooling);
        assert_eq!(combined(RunSelection::Strongest), strong);
        assert_eq!(combined(RunSelection::StrongestSuccess), fooling);
        assert_eq!(RunSelection::StrongestSuccess.combine(Some(fooling.clone()), strong.clone()), fooling);
        let nearer = finding(true, 1.5);
        assert_eq!(RunSelection::StrongestSuccess.combine(Some(fooling.clone()), nearer.clone()), nearer);
        assert_eq!(RunSelection::StrongestSuccess.combine(Some(nearer.clone()), fooling), nearer);
    }

    #[test]
    fn of_equally_strong_points_the_first_is_kept() {
        let first = finding(true, 1.0);
        for selection in [RunSelection::Strongest, RunSelection::StrongestSuccess] {
            let later = Finding { point: vec![0.5], ..first.clone() };
            assert_eq!(selection.combine(Some(first.clone()), later), first, "{selection:?}");
        }
    }

    #[test]
    fn a_loss_that_is_not_a_number_never_wins() {
        let first = finding(false, 1.0);
        let combined = RunSelection::Strongest.combine(Some(first.clone()), finding(true, f32::NAN));
        assert_eq!(combined, first);
        for selection in [RunSelection::FirstFooled, RunSelection::Strongest, RunSelection::StrongestSuccess]
        {
            let undefined = finding(false, f32::NAN);
            for defined in [first.clone(), finding(false, f32::NEG_INFINITY)] {
                let combine = |earlier: &Finding, later: &Finding| {
                    selection.combine(Some(earlier.clone()), later.clone())
                };
                assert_eq!(combine(&defined, &undefined), defined, "{selection:?}");
                assert_eq!(combine(&undefined, &defined), defined, "{selection:?}");
            }
        }
    }

    #[test]
    fn the_first_run_has_nothing_to_be_compared_with() {
        let first = finding(false, 1.0);
        assert_eq!(RunSelection::Strongest.combine(None, first.clone()), first);
    }
}
