use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{FloatDType, Tensor};
use twins_attack::Precision;
use twins_nn::{ImageClassifier, Wing};

use super::epoch_start::EpochStart;
use super::objective::{Loss, Objective, TrainingBatch, TrainingImages};
use super::parameters::ObjectiveParameters;
use crate::error::TrainError;
use crate::parameters::{Survey, TWO_WINGS};

/// An objective whose passes through the model are computed in another precision than its weights have (Micikevicius et al., "Mixed
/// Precision Training", ICLR 2018).
///
/// Every pass casts the images, and a copy of the weights, on the device. The cast is part of what is differentiated, so the gradients have
/// the precision of the weights themselves, as have their updates. Two-wing layers keep their parameters and statistics, and compute
/// their sums, in single precision; the losses of this library do the same with the logits. An objective of your own casts
/// `model.logits(..)` to [`FloatDType::F32`] before it computes a loss.
///
/// [`TrainConfig::precision`](crate::TrainConfig::precision) makes the trainer use it.
///
/// ```
/// use twins_attack::Precision;
/// use twins_train::{MixedPrecision, TwinsAt};
///
/// let objective = MixedPrecision::new(TwinsAt { lambda: 1.0 }, Precision::Bf16);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MixedPrecision<O> {
    pub(crate) objective: O,
    precision: Precision,
}

impl<O> MixedPrecision<O> {
    /// An objective with passes in a precision; in [`Precision::F32`] it is the objective itself.
    pub fn new(objective: O, precision: Precision) -> Self {
        Self { objective, precision }
    }
}

impl<M: ImageClassifier, O: Objective<M>> Objective<M> for MixedPrecision<O> {
    fn wing(&self) -> Wing {
        self.objective.wing()
    }

    fn images(&self) -> TrainingImages {
        self.objective.images()
    }

    fn parameters(&self, model: &M) -> Result<ObjectiveParameters, TrainError> {
        self.objective.parameters(model)
    }

    fn begin_epoch(&mut self, epoch: &mut EpochStart<'_, M>) -> Result<(), TrainError> {
        self.objective.begin_epoch(epoch)
    }

    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        self.loss_with_parameters(model, &ObjectiveParameters::default(), batch)
    }

    fn loss_with_parameters(
        &self,
        model: &M,
        parameters: &ObjectiveParameters,
        batch: &TrainingBatch,
    ) -> Loss {
        if self.precision == Precision::F32 {
            return self.objective.loss_with_parameters(model, parameters, batch);
        }
        let dtype = self.precision.dtype();
        let batch = TrainingBatch {
            clean: batch.clean.clone().cast(dtype),
            adversarial: batch.adversarial.clone().cast(dtype),
            ..batch.clone()
        };
        self.objective.loss_with_parameters(&cast(model, dtype), &cast(parameters, dtype), &batch)
    }
}

/// The logits in single precision, in which losses are computed.
pub(super) fn logits_of<M: ImageClassifier>(model: &M, images: Tensor<4>) -> Tensor<2> {
    model.logits(images).cast(FloatDType::F32)
}

/// A copy in a precision, but for two-wing layers. It has the running statistics in common with the module, and gradients reach the module's
/// parameters through it.
fn cast<M: Module>(module: &M, dtype: FloatDType) -> M {
    module.clone().map(&mut Cast { dtype, in_two_wings: 0 })
}

struct Cast {
    dtype: FloatDType,
    /// How many two-wing layers the current parameter is in.
    in_two_wings: usize,
}

impl ModuleMapper for Cast {
    fn enter_module(&mut self, _name: &str, container: &str) {
        self.in_two_wings += usize::from(container == TWO_WINGS);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.in_two_wings -= usize::from(container == TWO_WINGS);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.in_two_wings {
            0 => param.map(|tensor| tensor.cast(self.dtype)),
            _ => param,
        }
    }
}

/// Checks that a model can be trained in a precision.
pub(crate) fn check<M: Module>(model: &M, precision: Precision) -> Result<(), TrainError> {
    if precision == Precision::F32 {
        return Ok(());
    }
    match Survey::of(model).stock_batch_norm {
        Some(layer) => Err(TrainError::StockBatchNorm { layer, precision }),
        None => Ok(()),
    }
}
