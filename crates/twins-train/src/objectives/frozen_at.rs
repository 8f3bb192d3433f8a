use twins_nn::{ImageClassifier, Wing};

use super::at::At;
use super::objective::{Loss, Objective, TrainingBatch};

/// Adversarial training with the fixed running statistics of the starting model: what the frozen wing of
/// [`TwinsAt`](crate::TwinsAt) computes, for the whole batch. It is a control that shows the benefit of two wings.
/// [`FrozenFrom`](crate::FrozenFrom) has no effect, because the parameters of the adaptive wing, which inference uses, are trained.
///
/// ```text
/// L = CE(f(x'), y)
/// ```
///
/// Where x' is the adversarial example. The loss is that of [`At`], but [`Trainer`](crate::Trainer) runs every batch-normalisation
/// layer, two-wing or Burn's own, in evaluation mode. It normalises with the running statistics of the starting model, which are not
/// updated. All parameters that this pass uses are trained, including gamma and beta. The objective does not need two-wing layers.
/// [`step`](crate::step) selects no mode: it needs two-wing layers in [`Wing::Adaptive`], or Burn's own with their flag `training` off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrozenAt;

impl<M: ImageClassifier> Objective<M> for FrozenAt {
    fn wing(&self) -> Wing {
        Wing::Adaptive
    }

    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        At.loss(model, batch)
    }
}
