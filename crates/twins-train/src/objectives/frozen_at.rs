use twins_nn::{ImageClassifier, Wing};

use super::at::At;
use super::objective::{Loss, Objective, TrainingBatch};

/// Adversarial training with the fixed statistics of the starting model: the frozen wing of [`TwinsAt`](crate::TwinsAt)
/// alone, a control for the benefit of having two wings.
///
/// ```text
/// L = CE(f(x'), y)
/// ```
///
/// Where x' is the adversarial example. The loss is that of [`At`], but every batch-normalisation layer, two-wing or stock,
/// runs in evaluation mode throughout: it normalises with the running statistics that the model starts with, which do not
/// move. All parameters train, gamma and beta included. It needs no two-wing layers.
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
