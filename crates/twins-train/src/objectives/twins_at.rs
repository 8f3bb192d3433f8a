use twins_nn::{ImageClassifier, Wing};

use super::halves::split;
use super::mixed_precision::logits_of;
use super::objective::{Loss, Objective, TrainingBatch};

/// Adversarial training split between the frozen and the adaptive wing.
///
/// ```text
/// L = lambda · CE(f_frozen(x'₁), y₁) + CE(f_adaptive(x'₂), y₂)
/// ```
///
/// Where (x'₁, y₁) is the first half of the batch (rounded down), (x'₂, y₂) the rest, and each cross-entropy is a
/// mean over its half. The sum is not divided by 1 + lambda. Source: Liu et al., "TWINS", CVPR 2023, section 3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwinsAt {
    /// Weight of the frozen wing's loss.
    pub lambda: f64,
}

impl<M: ImageClassifier> Objective<M> for TwinsAt {
    fn wing(&self) -> Wing {
        Wing::Split
    }

    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        let logits = logits_of(model, batch.adversarial.clone());
        let (frozen_logits, adaptive_logits) = split(logits.clone());
        let (frozen_targets, adaptive_targets) = batch.targets.clone().split();
        let frozen = frozen_targets.cross_entropy(frozen_logits);
        let adaptive = adaptive_targets.cross_entropy(adaptive_logits);
        let total = frozen.clone().mul_scalar(self.lambda) + adaptive.clone();
        Loss { total, frozen: Some(frozen), adaptive, logits }
    }
}
