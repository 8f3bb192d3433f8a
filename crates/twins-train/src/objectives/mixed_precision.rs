use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{FloatDType, Tensor};
use twins_attack::Precision;
use twins_nn::{ImageClassifier, Wing};

use super::epoch_start::EpochStart;
use super::objective::{Loss, Objective, TrainingBatch, TrainingImages};
use super::parameters::ObjectiveParameters;
use crate::error::TrainError;
use crate::parameters::{Survey, TWO_WINGS};

/// Wraps an objective so that its passes through the model are computed in another precision than that of the weights (Micikevicius
/// et al., "Mixed Precision Training", ICLR 2018).
///
/// Every pass casts the images and a copy of the weights on the device. Gradients flow through the cast, so gradients and updates have the
/// precision of the original weights. Two-wing layers keep their parameters and statistics in single precision and also compute their sums
/// in it. The objectives of this library compute their losses from logits that are cast to single precision. A custom objective must cast
/// `model.logits(..)` to [`FloatDType::F32`] before it computes a loss.
///
/// The trainer uses it according to [`TrainConfig::precision`](crate::TrainConfig::precision).
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
    /// Creates an objective with passes in the given precision. With [`Precision::F32`], it behaves like the wrapped
    /// objective.
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

/// Returns a copy of the module in the given precision, except for two-wing layers. The copy shares its running statistics with the module,
/// and gradients flow through it to the module's parameters.
fn cast<M: Module>(module: &M, dtype: FloatDType) -> M {
    module.clone().map(&mut Cast { dtype, in_two_wings: 0 })
}

struct Cast {
    dtype: FloatDType,
    /// The number of two-wing layers that contain the current parameter.
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

/// Checks that a model can be trained in the given precision.
pub(crate) fn check<M: Module>(model: &M, precision: Precision) -> Result<(), TrainError> {
    if precision == Precision::F32 {
        return Ok(());
    }
    match Survey::of(model).stock_batch_norm {
        Some(layer) => Err(TrainError::StockBatchNorm { layer, precision }),
        None => Ok(()),
    }
}
