use serde::{Deserialize, Serialize};

use super::probe::ProbeConfig;

/// Which part of the model is trained.
///
/// While only the head is trained, every normalisation runs in evaluation mode: the adaptive wing with its running
/// statistics, which do not move. The model says which layer is its head: [`ImageClassifier::head`](twins_nn::ImageClassifier::head).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Tuning {
    /// Everything.
    Full,
    /// The head alone, by the configured method.
    LinearProbe,
    /// The head alone first, with plain cross-entropy on adversarial examples, then everything by the configured method:
    /// robust linear initialisation (Hua et al., "Initialization Matters for Adversarial Transfer Learning", CVPR 2024,
    /// section 4).
    ///
    /// The full phase begins like a training of its own from the probe's last weights. Schedule, warm-up and
    /// the warm-up of a weight perturbation count from its first epoch; momentum, averaged weights and the counts of
    /// early stopping and plateaus start anew. The probe perturbs no weights and is not stopped early. The best
    /// checkpoint is that of all epochs, those of the probe included.
    ProbeThenFull(ProbeConfig),
}

impl Tuning {
    /// Whether an epoch, from 0, trains the head alone.
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
