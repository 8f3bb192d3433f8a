use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};

use crate::twins_module::{Path, enter, layer_field};

/// A running or population statistic with an impossible value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// A mean or variance is NaN or infinite.
    #[error(
        "{path}[{channel}] is {value}: a batch norm cannot use it; the checkpoint is damaged or its training diverged"
    )]
    NotFinite {
        /// Path of the tensor in the model.
        path: String,
        /// Channel of the offending value.
        channel: usize,
        /// The value.
        value: f32,
    },
    /// A variance is below zero.
    #[error(
        "{path}[{channel}] is {value}: a variance cannot be negative; the checkpoint is damaged or its entries are mixed up"
    )]
    NegativeVariance {
        /// Path of the tensor in the model.
        path: String,
        /// Channel of the offending value.
        channel: usize,
        /// The value.
        value: f32,
    },
}

impl StatisticsError {
    /// Returns the first impossible value in the field of a two-wing layer at `path`: one that is not finite, or a
    /// negative variance.
    ///
    /// Returns `None` if there is none, or if the field is not a mean or variance.
    pub(crate) fn find(path: &str, field: &str, data: &TensorData) -> Option<Self> {
        let variance = match field {
            "running_mean" | "frozen_mean" => false,
            "running_var" | "frozen_var" => true,
            _ => return None,
        };
        let path = || path.to_owned();
        let values = data.clone().convert_dtype(DType::F32);
        values.iter::<f32>().enumerate().find_map(|(channel, value)| {
            if !value.is_finite() {
                Some(Self::NotFinite { path: path(), channel, value })
            } else if variance && value < 0.0 {
                Some(Self::NegativeVariance { path: path(), channel, value })
            } else {
                None
            }
        })
    }
}

/// Checks the statistics of both wings in every layer of a model.
pub(crate) fn check<M: Module>(model: &M) -> Result<(), StatisticsError> {
    let mut check = Check { path: Vec::new(), problem: None };
    model.visit(&mut check);
    check.problem.map_or(Ok(()), Err)
}

struct Check {
    path: Path,
    problem: Option<StatisticsError>,
}

impl ModuleVisitor for Check {
    fn enter_module(&mut self, name: &str, container: &str) {
        enter(&mut self.path, name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(field) = layer_field(&self.path).filter(|_| self.problem.is_none()) else { return };
        let path = self.path.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".");
        self.problem = StatisticsError::find(&path, field, &param.val().into_data());
    }
}

#[cfg(test)]
mod tests {
    use burn::module::{Param, RunningState};
    use burn::tensor::{Device, Tensor};

    use crate::{StatisticsError, TwinsBatchNormConfig, TwinsModule};

    #[test]
    fn values_that_no_data_can_have_are_named() {
        let device = Device::flex();
        let good =
            || vec![TwinsBatchNormConfig::new(2).init(&device), TwinsBatchNormConfig::new(2).init(&device)];
        assert_eq!(good().check_statistics(), Ok(()));

        let mut model = good();
        model[1].running_var = RunningState::new(Tensor::from_floats([1.0, -0.5], &device));
        let error =
            StatisticsError::NegativeVariance { path: "1.running_var".into(), channel: 1, value: -0.5 };
        assert_eq!(model.check_statistics(), Err(error));

        let mut model = good();
        model[0].frozen_mean = Param::from_tensor(Tensor::from_floats([f32::INFINITY, 0.0], &device));
        let error =
            StatisticsError::NotFinite { path: "0.frozen_mean".into(), channel: 0, value: f32::INFINITY };
        assert_eq!(model.check_statistics(), Err(error));
    }

    #[test]
    fn negative_means_and_channels_without_variance_are_fine() {
        let device = Device::flex();
        let mut norm = TwinsBatchNormConfig::new(1).init(&device);
        norm.running_mean = RunningState::new(Tensor::from_floats([-3.0], &device));
        norm.running_var = RunningState::new(Tensor::from_floats([0.0], &device));
        assert_eq!(norm.check_statistics(), Ok(()));
    }
}
