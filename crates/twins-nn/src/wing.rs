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
/// On a device without autodiff, `AdaptiveTraining` uses running statistics, as Burn's `BatchNorm` does. A forward pass in
/// `Split` panics there, because it would have to send the frozen wing's half through the adaptive wing.
///
/// Burn's `valid()` selects `Adaptive`, and `train()` the wing from before. After `freeze()` the wing is `Adaptive` for good, and after
/// `unfreeze()` it is `Split`: select another one with [`with_wing`](crate::TwinsModule::with_wing) then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wing {
    /// The adaptive wing with running statistics, for inference, evaluation and attacks.
    /// [`valid`](burn::module::Module::valid) and [`freeze`](burn::module::Module::freeze) select it.
    Adaptive,
    /// The adaptive wing with batch statistics: ordinary batch-norm training.
    AdaptiveTraining,
    /// The frozen wing with the pre-training statistics and its own gamma and beta.
    Frozen,
    /// TWINS training. The first half of the batch goes through the frozen wing, and the rest through the adaptive wing with
    /// batch statistics.
    Split,
}

impl Wing {
    /// The layer's two flags, `(training, frozen)`. Burn's `valid()` and `freeze()` clear every flag, which selects
    /// `Adaptive`. Its `unfreeze()` sets every flag, which selects `Split`.
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
