use burn::tensor::{Int, Tensor};
use twins_nn::Wing;

/// One training batch as the loss sees it, on the autodiff device.
#[derive(Clone, Debug)]
pub struct TrainingBatch {
    /// Clean images `[n, channels, height, width]` in [0, 1].
    pub clean: Tensor<4>,
    /// The adversary's images, of the same shape; the clean ones where the objective needs no adversary.
    pub adversarial: Tensor<4>,
    /// Labels `[n]`.
    pub labels: Tensor<1, Int>,
}

/// The value of an objective on one batch.
#[derive(Clone, Debug)]
pub struct Loss {
    /// What is differentiated, `[1]`.
    pub total: Tensor<1>,
    /// The frozen wing's unweighted share, `[1]`; `None` where one wing sees the whole batch.
    pub frozen: Option<Tensor<1>>,
    /// The adaptive wing's share, `[1]`.
    pub adaptive: Tensor<1>,
    /// Logits `[n, classes]` on the images that were trained on, for the training accuracy.
    pub logits: Tensor<2>,
}

/// Which images an [`Objective`] trains on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainingImages {
    /// An adversary is run on every batch.
    Adversarial,
    /// No adversary is run.
    Clean,
}

/// A training objective: what plugs a method of one's own into the [`Trainer`](crate::Trainer).
///
/// The loss is built from one or more tracked forward passes of the model, all of which must enter
/// [`Loss::total`]: a pass that is never differentiated keeps its memory.
pub trait Objective<M>: Send + Sync {
    /// The wing that the model's two-wing layers run in the loss.
    fn wing(&self) -> Wing;

    /// Whether an adversary is needed.
    fn images(&self) -> TrainingImages {
        TrainingImages::Adversarial
    }

    /// The loss of one batch of at least two samples, a mean over them. Asked for once per step, and twice with adversarial
    /// weight perturbation ([`AwpConfig`](crate::AwpConfig)); of a step that is divided into micro-batches or among devices,
    /// once for each part, by several threads.
    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss;
}
