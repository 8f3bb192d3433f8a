use serde::{Deserialize, Serialize};

use super::probe::ProbeConfig;

/// Which parts of the model are trained.
///
/// While only the head is trained, every normalisation layer runs in evaluation mode: it uses the adaptive wing with its running
/// statistics, which are not updated. The model names its head with [`ImageClassifier::head`](twins_nn::ImageClassifier::head).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Tuning {
    /// All parameters are trained.
    Full,
    /// Only the head is trained, by the configured method. Both halves of a two-wing method then use the adaptive wing; the first is
    /// still weighted with lambda and reported as the frozen wing's.
    LinearProbe,
    /// First only the head is trained, with plain cross-entropy on adversarial examples; then all parameters are trained
    /// by the configured method. This is robust linear initialisation (Hua et al., "Initialization Matters for
    /// Adversarial Transfer Learning", CVPR 2024, section 4).
    ///
    /// The full phase starts from the probe's last weights. Schedule, warm-up and the warm-up of a weight perturbation count from its
    /// first epoch; the schedule of epsilon continues. The optimiser's state, the averaged weights, and the counters of early stopping
    /// and plateaus are reset, but an epoch counts as better only if it is better than every earlier one, including those of the probe.
    /// The probe does not perturb weights and is not stopped early. The best checkpoint is selected from all epochs.
    ProbeThenFull(ProbeConfig),
}

impl Tuning {
    /// Whether an epoch trains only the head; `epoch` counts from 0.
    pub(crate) fn probes(&self, epoch: usize) -> bool {
        match self {
            Self::Full => false,
            Self::LinearProbe => true,
            Self::ProbeThenFull(probe) => epoch < probe.epochs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_comes_first() {
        let tuning = Tuning::ProbeThenFull(ProbeConfig::new(2));
        assert_eq!([0, 1, 2].map(|epoch| tuning.probes(epoch)), [true, true, false]);
        assert!(Tuning::LinearProbe.probes(99) && !Tuning::Full.probes(0));
    }
}
