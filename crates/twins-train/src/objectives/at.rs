use twins_nn::{ImageClassifier, Wing};

use super::mixed_precision::logits_of;
use super::objective::{Loss, Objective, TrainingBatch};

/// Adversarial training with ordinary batch normalisation over the whole batch: the baseline of TWINS.
///
/// ```text
/// L = CE(f(x'), y)
/// ```
///
/// Where x' is the adversarial example. Source: Madry et al., "Towards Deep Learning Models Resistant to Adversarial
/// Attacks", ICLR 2018, section 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At;

impl<M: ImageClassifier> Objective<M> for At {
    fn wing(&self) -> Wing {
        Wing::AdaptiveTraining
    }

    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        let logits = logits_of(model, batch.adversarial.clone());
        let total = batch.targets.clone().cross_entropy(logits.clone());
        Loss { adaptive: total.clone(), total, frozen: None, logits }
    }
}
