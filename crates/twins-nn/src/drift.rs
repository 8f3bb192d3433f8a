use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::twins_module::{Path, enter, layer_field};

/// Added to variances, as in batch normalisation (PyTorch's default), so that the result is finite for channels that
/// never vary.
const EPSILON: f64 = 1e-5;

/// How far the adaptive wing's running statistics are from the frozen wing's population statistics, in one layer.
///
/// ```text
/// mean_shift     = mean over channels of |mu_a − mu_f| / sqrt(var_f + 1e-5)
/// variance_ratio = mean over channels of |ln((var_a + 1e-5) / (var_f + 1e-5))|
/// ```
///
/// Here `a` is the adaptive wing and `f` the frozen wing. The mean shift is in standard deviations of the pre-training
/// population. The variance ratio is 0 where the variances are equal, and 0.69 where one is twice the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WingDrift {
    /// Mean distance of the means, in standard deviations of the frozen wing.
    pub mean_shift: f64,
    /// Mean absolute logarithm of the ratio of the variances.
    pub variance_ratio: f64,
}

impl WingDrift {
    /// Computes the drift between `[mean, variance]` of the adaptive and of the frozen wing, each with one value per
    /// channel. Without channels it is 0.
    ///
    /// ```
    /// use twins_nn::WingDrift;
    ///
    /// // One channel: the mean moved by half a standard deviation, the variance doubled.
    /// let drift = WingDrift::between([&[3.0], &[8.0]], [&[2.0], &[4.0]]);
    /// assert!((drift.mean_shift - 0.5).abs() < 1e-5);
    /// assert!((drift.variance_ratio - 2f64.ln()).abs() < 1e-5);
    /// ```
    pub fn between(adaptive: [&[f32]; 2], frozen: [&[f32]; 2]) -> Self {
        let channels = frozen[0].len().max(1) as f64;
        let pairs = |part: usize| {
            adaptive[part].iter().zip(frozen[part]).map(|(a, f)| (f64::from(*a), f64::from(*f)))
        };
        let shift: f64 = pairs(0)
            .zip(frozen[1])
            .map(|((a, f), variance)| (a - f).abs() / (f64::from(*variance) + EPSILON).sqrt())
            .sum();
        let ratio: f64 = pairs(1).map(|(a, f)| ((a + EPSILON) / (f + EPSILON)).ln().abs()).sum();
        Self { mean_shift: shift / channels, variance_ratio: ratio / channels }
    }
}

/// The drift of every two-wing layer of a model, by the layer's path.
pub(crate) fn of<M: Module>(model: &M) -> BTreeMap<String, WingDrift> {
    let mut collect = Collect::default();
    model.visit(&mut collect);
    collect.drifts
}

/// Keeps the running statistics of the layer that is being visited. Its fields come before those of the frozen wing.
#[derive(Default)]
struct Collect {
    path: Path,
    statistics: [Vec<f32>; 3],
    drifts: BTreeMap<String, WingDrift>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        enter(&mut self.path, name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        const FIELDS: [&str; 4] = ["running_mean", "running_var", "frozen_mean", "frozen_var"];
        let Some(field) = layer_field(&self.path) else { return };
        let Some(slot) = FIELDS.iter().position(|name| *name == field) else { return };
        let data = param.val().into_data().convert_dtype(DType::F32);
        let values: Vec<f32> = data.iter::<f32>().collect();
        if let Some(place) = self.statistics.get_mut(slot) {
            *place = values;
            return;
        }
        let layers = self.path[..self.path.len() - 1].iter().map(|(name, _)| name.as_str());
        let path = layers.collect::<Vec<_>>().join(".");
        let [mean, variance, frozen_mean] = &self.statistics;
        let drift = WingDrift::between([mean, variance], [frozen_mean, &values]);
        self.drifts.insert(path, drift);
    }
}

#[cfg(test)]
mod tests {
    use burn::module::RunningState;
    use burn::tensor::Device;

    use super::*;
    use crate::{TwinsBatchNormConfig, TwinsModule};

    #[test]
    fn drift_by_hand() {
        // Channel 0: (1 − 3) / sqrt(4) = −1, variance 4 → 4. Channel 1: (0.5 − 0) / sqrt(0.25) = 1, 0.25 → 1.
        let drift = WingDrift::between([&[1.0, 0.5], &[4.0, 1.0]], [&[3.0, 0.0], &[4.0, 0.25]]);
        // Epsilon 1e-5 beside a variance of 0.25 moves the second shift by 2e-5, the logarithm by 3e-5; halves of that.
        assert!((drift.mean_shift - 1.0).abs() < 2e-5, "{drift:?}");
        assert!((drift.variance_ratio - 4f64.ln() / 2.0).abs() < 3e-5, "{drift:?}");
    }

    #[test]
    fn a_dead_channel_stays_finite() {
        let drift = WingDrift::between([&[0.0], &[0.0]], [&[0.0], &[0.0]]);
        assert_eq!(drift, WingDrift { mean_shift: 0.0, variance_ratio: 0.0 });
    }

    #[test]
    fn every_layer_of_a_model_is_named() {
        let device = Device::flex().autodiff();
        let mut model =
            vec![TwinsBatchNormConfig::new(2).init(&device), TwinsBatchNormConfig::new(1).init(&device)];
        model[1].running_mean = RunningState::new(Tensor::from_floats([0.5], &device));
        let drifts = model.wing_drift();
        assert_eq!(drifts.keys().collect::<Vec<_>>(), ["0", "1"]);
        assert_eq!(drifts["0"], WingDrift { mean_shift: 0.0, variance_ratio: 0.0 });
        // The frozen wing starts with mean 0 and variance 1; sqrt(1 + 1e-5) is 1 + 5e-6.
        assert!((drifts["1"].mean_shift - 0.5).abs() < 1e-5);
        assert!(TwinsBatchNormConfig::new(1).init(&device).wing_drift().contains_key(""));
    }
}
