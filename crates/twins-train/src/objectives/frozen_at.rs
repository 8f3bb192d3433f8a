use twins_nn::{ImageClassifier, Wing};

use super::at::At;
use super::objective::{Loss, Objective, TrainingBatch};

/// Adversarial training with the fixed statistics of the starting model. It uses only the frozen wing of
/// [`TwinsAt`](crate::TwinsAt), as a control that shows the benefit of two wings.
///
/// ```text
/// L = CE(f(x'), y)
/// ```
///
/// Where x' is the adversarial example. The loss is that of [`At`], but every batch-normalisation layer, two-wing or Burn's
/// own, always runs in evaluation mode. It normalises with the running statistics of the starting model, which are not
/// updated. All parameters are trained, including gamma and beta. The objective does not need two-wing layers.
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
