use twins_nn::{ImageClassifier, Wing};

use super::divergence::divergence;
use super::mixed_precision::logits_of;
use super::objective::{Loss, Objective, TrainingBatch};

/// TRADES with ordinary batch normalisation over the whole batch.
///
/// ```text
/// L = CE(f(x), y) + beta · KL(softmax f(x) ‖ softmax f(x'))
/// ```
///
/// Where the divergence is a mean over the batch. The adversarial pass runs before the clean pass, and both update the
/// running statistics. By default, the trainer's adversary maximises the cross-entropy, as in TWINS's released code;
/// the original TRADES maximises the divergence. Source: Zhang et al., "Theoretically Principled Trade-off between
/// Robustness and Accuracy", ICML 2019, equation 5.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trades {
    /// Weight of the divergence.
    pub beta: f64,
}

impl<M: ImageClassifier> Objective<M> for Trades {
    fn wing(&self) -> Wing {
        Wing::AdaptiveTraining
    }

    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        let logits = logits_of(model, batch.adversarial.clone());
        let clean = logits_of(model, batch.clean.clone());
        let total = batch.targets.clone().cross_entropy(clean.clone())
            + divergence(clean, logits.clone()).mul_scalar(self.beta);
        Loss { adaptive: total.clone(), total, frozen: None, logits }
    }
}
