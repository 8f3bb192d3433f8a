use twins_nn::{ImageClassifier, Wing};

use super::mixed_precision::logits_of;
use super::objective::{Loss, Objective, TrainingBatch, TrainingImages};

/// Clean training with ordinary batch normalisation. It yields no robustness and serves as the upper bound of clean
/// accuracy.
///
/// ```text
/// L = CE(f(x), y)
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standard;

impl<M: ImageClassifier> Objective<M> for Standard {
    fn wing(&self) -> Wing {
        Wing::AdaptiveTraining
    }

    fn images(&self) -> TrainingImages {
        TrainingImages::Clean
    }

    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        let logits = logits_of(model, batch.clean.clone());
        let total = batch.targets.clone().cross_entropy(logits.clone());
        Loss { adaptive: total.clone(), total, frozen: None, logits }
    }
}
