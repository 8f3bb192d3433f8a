use burn::tensor::{Int, Tensor};
use twins_nn::Wing;

use super::epoch_start::EpochStart;
use super::parameters::ObjectiveParameters;
use super::targets::Targets;
use crate::error::TrainError;

/// One training batch as passed to the loss, on the autodiff device.
#[derive(Clone, Debug)]
pub struct TrainingBatch {
    /// Clean images `[n, channels, height, width]` in [0, 1].
    pub clean: Tensor<4>,
    /// Adversarial examples of the same shape; the clean images if the objective needs no adversary.
    pub adversarial: Tensor<4>,
    /// Labels `[n]`. For mixed images, these are the labels of the image with the larger weight.
    pub labels: Tensor<1, Int>,
    /// The targets of cross-entropies: the labels after label smoothing and mixup, if they are enabled.
    pub targets: Targets,
}

impl TrainingBatch {
    /// Creates a batch whose targets are its labels.
    pub fn new(clean: Tensor<4>, adversarial: Tensor<4>, labels: Tensor<1, Int>) -> Self {
        let targets = Targets::new(labels.clone());
        Self { clean, adversarial, labels, targets }
    }
}

/// The value of an objective on one batch. A loss with more values than one, or logits with another number of rows than `n`, end the
/// training with an error ([`TrainError::Device`]).
#[derive(Clone, Debug)]
pub struct Loss {
    /// The loss that is differentiated, `[1]`.
    pub total: Tensor<1>,
    /// The frozen wing's unweighted part of the loss, `[1]`; `None` if a single wing processes the whole batch.
    pub frozen: Option<Tensor<1>>,
    /// The adaptive wing's part of the loss, `[1]`.
    pub adaptive: Tensor<1>,
    /// Logits `[n, classes]` of the images of the training pass, from which the training accuracy is computed.
    pub logits: Tensor<2>,
}

/// Which images an [`Objective`] trains on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainingImages {
    /// The adversary attacks every batch.
    Adversarial,
    /// There is no attack.
    Clean,
}

/// A training objective. Implement this trait to train with a custom method; see
/// [`Trainer::with_objective`](crate::Trainer::with_objective).
///
/// Most objectives implement only [`loss`](Self::loss) and possibly [`wing`](Self::wing). An objective that trains parameters
/// in addition to the model's also implements [`parameters`](Self::parameters) and
/// [`loss_with_parameters`](Self::loss_with_parameters). An objective that changes from epoch to epoch implements
/// [`begin_epoch`](Self::begin_epoch).
pub trait Objective<M>: Send + Sync {
    /// The wing that the model's two-wing layers use in the loss. The default is ordinary batch normalisation.
    fn wing(&self) -> Wing {
        Wing::AdaptiveTraining
    }

    /// The images that the objective trains on. The default is adversarial examples.
    fn images(&self) -> TrainingImages {
        TrainingImages::Adversarial
    }

    /// Creates the parameters that are trained in addition to those of the model; none by default. The model is on an
    /// autodiff device.
    ///
    /// # Errors
    ///
    /// The trainer returns an error before the first step.
    fn parameters(&self, model: &M) -> Result<ObjectiveParameters, TrainError> {
        let _ = model;
        Ok(ObjectiveParameters::default())
    }

    /// Prepares for an epoch; does nothing by default. The trainer calls this method before the first step of every epoch,
    /// and again if a run is resumed within an epoch. It does not call it for the epochs of a probe before a full phase
    /// ([`Tuning::ProbeThenFull`](crate::Tuning::ProbeThenFull)), which have an objective of their own.
    ///
    /// # Errors
    ///
    /// The trainer stops and returns the error.
    fn begin_epoch(&mut self, epoch: &mut EpochStart<'_, M>) -> Result<(), TrainError> {
        let _ = epoch;
        Ok(())
    }

    /// Computes the loss of one batch of at least two samples, as a mean over the samples.
    ///
    /// The loss uses one or more tracked forward passes of the model. All of them must contribute to [`Loss::total`],
    /// because the memory of a pass that is never differentiated is not released. The trainer calls this method once per
    /// step, or twice with adversarial weight perturbation ([`AwpConfig`](crate::AwpConfig)). If a step is divided into
    /// micro-batches or among devices, it does so for every micro-batch, from several threads.
    ///
    /// With [`MixedPrecision`](crate::MixedPrecision), images and logits are in half precision here. Cast the logits to
    /// [`FloatDType::F32`](burn::tensor::FloatDType::F32) before you compute a loss.
    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss;

    /// Computes the loss of an objective with its own parameters; calls [`loss`](Self::loss) by default.
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

/// Allows the trainer to store any objective in a box.
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
