use serde::{Deserialize, Serialize};

/// Which wing of a [`TwinsBatchNorm`](crate::TwinsBatchNorm) normalises, and with which statistics.
///
/// | wing | samples | mean and variance | running statistics |
/// |---|---|---|---|
/// | `Adaptive` | all | running | read |
/// | `AdaptiveTraining` | all | of the batch | updated |
/// | `Frozen` | all | of the pre-training population | untouched |
/// | `Split` | first ⌊n/2⌋ | of the pre-training population | untouched |
/// | | the rest | of the rest | updated |
///
/// On a device without autodiff, `AdaptiveTraining` uses running statistics, as Burn's `BatchNorm` does, and a forward pass in
/// `Split` panics: it would have to put the frozen wing's half through the adaptive one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wing {
    /// The adaptive wing with running statistics: inference, evaluation and attack; what
    /// [`valid`](burn::module::Module::valid) and [`freeze`](burn::module::Module::freeze) select.
    Adaptive,
    /// The adaptive wing with batch statistics: ordinary batch-norm training.
    AdaptiveTraining,
    /// The frozen wing: the pre-training statistics, with this wing's own gamma and beta.
    Frozen,
    /// TWINS training: the first half of the batch through the frozen wing, the rest through the adaptive
    /// wing with batch statistics.
    Split,
}

impl Wing {
    /// The layer's two flags, `(training, frozen)`. Burn's `valid()` and `freeze()` clear every flag and
    /// `unfreeze()` sets every flag, so that these land on `Adaptive` and `Split`.
    pub(crate) const fn flags(self) -> (bool, bool) {
        match self {
            Wing::Adaptive => (false, false),
            Wing::AdaptiveTraining => (true, false),
            Wing::Frozen => (false, true),
            Wing::Split => (true, true),
        }
    }

    pub(crate) const fn from_flags(training: bool, frozen: bool) -> Self {
        match (training, frozen) {
            (false, false) => Wing::Adaptive,
            (true, false) => Wing::AdaptiveTraining,
            (false, true) => Wing::Frozen,
            (true, true) => Wing::Split,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_round_trip() {
        for wing in [Wing::Adaptive, Wing::AdaptiveTraining, Wing::Frozen, Wing::Split] {
            let (training, frozen) = wing.flags();
            assert_eq!(Wing::from_flags(training, frozen), wing);
        }
    }
}
