use burn::tensor::{Int, Tensor};
use twins_nn::{ImageClassifier, Wing};

use super::cross_entropy::cross_entropy;
use super::divergence::divergence;
use super::halves::{split, split_labels};
use super::objective::{Loss, Objective, TrainingBatch};

/// TRADES split between the frozen and the adaptive wing.
///
/// ```text
/// L   = lambda · T(f_frozen; x₁, x'₁, y₁) + T(f_adaptive; x₂, x'₂, y₂)
/// T(f; x, x', y) = CE(f(x), y) + beta · KL(softmax f(x) ‖ softmax f(x'))
/// ```
///
/// Where index 1 is the first half of the batch (rounded down), 2 the rest, and every term is a mean over its half.
/// (The released code divides the divergence by the whole batch, which halves its beta; pass half the beta for
/// that.) The adversarial pass runs before the clean one and both update the running statistics. Source: Liu et
/// al., "TWINS", CVPR 2023, section 3, with Zhang et al., "TRADES", ICML 2019.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwinsTrades {
    /// Weight of the frozen wing's loss.
    pub lambda: f64,
    /// Weight of the divergence.
    pub beta: f64,
}

impl TwinsTrades {
    fn wing_loss(&self, clean: Tensor<2>, adversarial: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        cross_entropy(clean.clone(), labels) + divergence(clean, adversarial).mul_scalar(self.beta)
    }
}

impl<M: ImageClassifier> Objective<M> for TwinsTrades {
    fn wing(&self) -> Wing {
        Wing::Split
    }

    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        let logits = model.logits(batch.adversarial.clone());
        let (frozen_adversarial, adaptive_adversarial) = split(logits.clone());
        let (frozen_clean, adaptive_clean) = split(model.logits(batch.clean.clone()));
        let (frozen_labels, adaptive_labels) = split_labels(batch.labels.clone());
        let frozen = self.wing_loss(frozen_clean, frozen_adversarial, frozen_labels);
        let adaptive = self.wing_loss(adaptive_clean, adaptive_adversarial, adaptive_labels);
        let total = frozen.clone().mul_scalar(self.lambda) + adaptive.clone();
        Loss { total, frozen: Some(frozen), adaptive, logits }
    }
}
