use burn::tensor::{Int, Tensor};
use twins_nn::Wing;

use super::epoch_start::EpochStart;
use super::parameters::ObjectiveParameters;
use super::targets::Targets;
use crate::error::TrainError;

/// One training batch as the loss sees it, on the autodiff device.
#[derive(Clone, Debug)]
pub struct TrainingBatch {
    /// Clean images `[n, channels, height, width]` in [0, 1].
    pub clean: Tensor<4>,
    /// Adversarial examples of the same shape; the clean images where the objective needs no adversary.
    pub adversarial: Tensor<4>,
    /// Labels `[n]`; with mixed images those of the image that has the larger weight.
    pub labels: Tensor<1, Int>,
    /// What cross-entropies are taken against: the labels, or what label smoothing and mixup make of them.
    pub targets: Targets,
}

impl TrainingBatch {
    /// A batch whose targets are its labels.
    pub fn new(clean: Tensor<4>, adversarial: Tensor<4>, labels: Tensor<1, Int>) -> Self {
        let targets = Targets::new(labels.clone());
        Self { clean, adversarial, labels, targets }
    }
}

/// The value of an objective on one batch.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The loss that is differentiated, `[1]`.
    pub total: Tensor<1>,
    /// The frozen wing's unweighted part of it, `[1]`; `None` where one wing sees the whole batch.
    pub frozen: Option<Tensor<1>>,
    /// The adaptive wing's part, `[1]`.
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

/// A training objective: implement it to train with your own method, see [`Trainer::with_objective`](crate::Trainer::with_objective).
///
/// Most objectives implement [`loss`](Self::loss) and perhaps [`wing`](Self::wing) alone. One that trains parameters beside the
/// model's also implements [`parameters`](Self::parameters) and [`loss_with_parameters`](Self::loss_with_parameters); one
/// that changes from epoch to epoch implements [`begin_epoch`](Self::begin_epoch).
pub trait Objective<M>: Send + Sync {
    /// The wing that the model's two-wing layers run in the loss; ordinary batch normalisation by default.
    fn wing(&self) -> Wing {
        Wing::AdaptiveTraining
    }

    /// Whether an adversary is needed.
    fn images(&self) -> TrainingImages {
        TrainingImages::Adversarial
    }

    /// Creates the parameters that are trained beside those of the model; none by default. The model is on an autodiff
    /// device.
    ///
    /// # Errors
    ///
    /// The trainer returns the error before the first step.
    fn parameters(&self, model: &M) -> Result<ObjectiveParameters, TrainError> {
        let _ = model;
        Ok(ObjectiveParameters::default())
    }

    /// Prepares for an epoch; does nothing by default. The trainer calls it before the first step of every epoch, and again
    /// where a run resumes within an epoch.
    ///
    /// # Errors
    ///
    /// The trainer ends with the error.
    fn begin_epoch(&mut self, epoch: &mut EpochStart<'_, M>) -> Result<(), TrainError> {
        let _ = epoch;
        Ok(())
    }

    /// The loss of one batch of at least two samples, a mean over them.
    ///
    /// It is built from one or several tracked forward passes of the model, all of which must enter [`Loss::total`]: a pass
    /// that is never differentiated keeps its memory. It is computed once per step, twice with adversarial weight
    /// perturbation ([`AwpConfig`](crate::AwpConfig)), and once per micro-batch, by several threads, where a step is divided
    /// into micro-batches or among devices.
    ///
    /// With [`MixedPrecision`](crate::MixedPrecision) images and logits are in half precision here; cast the logits to
    /// [`FloatDType::F32`](burn::tensor::FloatDType::F32) before you compute a loss.
    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss;

    /// The loss of an objective with parameters of its own; [`loss`](Self::loss) by default.
    fn loss_with_parameters(
        &self,
        model: &M,
        parameters: &ObjectiveParameters,
        batch: &TrainingBatch,
    ) -> Loss {
        let _ = parameters;
        self.loss(model, batch)
    }
}

/// Any objective, as the trainer holds it.
impl<M> Objective<M> for Box<dyn Objective<M>> {
    fn wing(&self) -> Wing {
        self.as_ref().wing()
    }

    fn images(&self) -> TrainingImages {
        self.as_ref().images()
    }

    fn parameters(&self, model: &M) -> Result<ObjectiveParameters, TrainError> {
        self.as_ref().parameters(model)
    }

    fn begin_epoch(&mut self, epoch: &mut EpochStart<'_, M>) -> Result<(), TrainError> {
        self.as_mut().begin_epoch(epoch)
    }

    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        self.as_ref().loss(model, batch)
    }

    fn loss_with_parameters(
        &self,
        model: &M,
        parameters: &ObjectiveParameters,
        batch: &TrainingBatch,
    ) -> Loss {
        self.as_ref().loss_with_parameters(model, parameters, batch)
    }
}
