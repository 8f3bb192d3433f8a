use burn::tensor::Tensor;
use twins_nn::{ImageClassifier, Wing};

use super::divergence::divergence;
use super::halves::split;
use super::mixed_precision::logits_of;
use super::objective::{Loss, Objective, TrainingBatch};
use super::targets::Targets;

/// TRADES split between the frozen and the adaptive wing.
///
/// ```text
/// L   = lambda · T(f_frozen; x₁, x'₁, y₁) + T(f_adaptive; x₂, x'₂, y₂)
/// T(f; x, x', y) = CE(f(x), y) + beta · KL(softmax f(x) ‖ softmax f(x'))
/// ```
///
/// Where index 1 is the first half of the batch (rounded down), 2 the rest, and every term is a mean over its half. The
/// released code divides the divergence by the size of the whole batch, which halves its beta; to reproduce that, pass
/// half the beta. The adversarial pass runs before the clean pass, and both update the running statistics. Source: Liu
/// et al., "TWINS", CVPR 2023, section 3, with Zhang et al., "TRADES", ICML 2019.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwinsTrades {
    /// Weight of the frozen wing's loss.
    pub lambda: f64,
    /// Weight of the divergence.
    pub beta: f64,
}

impl TwinsTrades {
    fn wing_loss(&self, clean: Tensor<2>, adversarial: Tensor<2>, targets: Targets) -> Tensor<1> {
        targets.cross_entropy(clean.clone()) + divergence(clean, adversarial).mul_scalar(self.beta)
    }
}

impl<M: ImageClassifier> Objective<M> for TwinsTrades {
    fn wing(&self) -> Wing {
        Wing::Split
    }

    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        let logits = logits_of(model, batch.adversarial.clone());
        let (frozen_adversarial, adaptive_adversarial) = split(logits.clone());
        let (frozen_clean, adaptive_clean) = split(logits_of(model, batch.clean.clone()));
        let (frozen_targets, adaptive_targets) = batch.targets.clone().split();
        let frozen = self.wing_loss(frozen_clean, frozen_adversarial, frozen_targets);
        let adaptive = self.wing_loss(adaptive_clean, adaptive_adversarial, adaptive_targets);
        let total = frozen.clone().mul_scalar(self.lambda) + adaptive.clone();
        Loss { total, frozen: Some(frozen), adaptive, logits }
    }
}
