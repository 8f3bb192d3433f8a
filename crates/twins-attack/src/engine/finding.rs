use serde::{Deserialize, Serialize};

/// Where a run of an attack on a sample ended.
///
/// A claim to have succeeded is not believed: the engine checks the point again (see
/// [`VerificationRule`](crate::VerificationRule)).
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The attack's image, inside the threat model.
    pub point: Vec<f32>,
    /// Whether the attack claims success there (see [`Criterion`](crate::Criterion)).
    pub fooled: bool,
    /// The model's logits at the point.
    pub logits: Vec<f32>,
    /// How strong the point is in the attack's own terms, larger is stronger: the loss that it maximises, or for a
    /// minimum-norm attack minus the distance. The runs on one sample are compared by it
    /// ([`RunSelection`]).
    pub loss: f32,
}

impl Finding {
    /// The clean image and its logits: the result where nothing was found.
    pub(super) fn clean(image: &[f32], logits: &[f32]) -> Self {
        Self { point: image.to_vec(), fooled: false, logits: logits.to_vec(), loss: f32::NEG_INFINITY }
    }
}

/// Which point an attack returns, of one run and of several (see [`RunSelection`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Returned {
    /// The first one that succeeds, where the sample then leaves the batch; the strongest one if none does.
    FirstFooled,
    /// The last one, whatever came before (the published PGD).
    Last,
    /// The one with the largest loss of all runs (for training against the strongest loss).
    BestLoss,
}

impl Returned {
    /// How an attack that returns this point combines its runs.
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
    /// The first run that succeeds ends the attack on the sample; if none does, the strongest point is returned.
    FirstFooled,
    /// All runs are made, and the strongest point is returned.
    Strongest,
    /// All runs are made, and the strongest point of those that succeeded is returned; if none did, the strongest of all.
    /// This is for minimum-norm attacks, whose strongest point is the nearest: a claim that is refuted must not displace a
    /// success farther away.
    StrongestSuccess,
}

impl RunSelection {
    /// The result of the earlier runs and one more. The later finding replaces the earlier one if its loss is larger, or
    /// if it succeeded where the first success decides.
    pub(crate) fn combine(self, earlier: Option<Finding>, later: Finding) -> Finding {
        let Some(earlier) = earlier else { return later };
        let stronger = later.loss > earlier.loss;
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
    }

    #[test]
    fn a_loss_that_is_not_a_number_never_wins() {
        let first = finding(false, 1.0);
        let combined = RunSelection::Strongest.combine(Some(first.clone()), finding(true, f32::NAN));
        assert_eq!(combined, first);
        assert_eq!(RunSelection::Strongest.combine(None, first.clone()), first);
    }
}
