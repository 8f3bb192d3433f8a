use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use crate::error::TrainError;
use crate::parameters::{Weights, flattened};

/// The exponential moving average of a model's weights and running statistics, kept on the device.
///
/// ```text
/// a ← a + (1 − decay) · (w − a)        after every step; a starts as the initial weights
/// ```
///
/// This is decay · a + (1 − decay) · w. In this form, rounding does not change the averages of weights that are not trained,
/// such as those of frozen layers, and of the statistics of the frozen wing.
pub(crate) struct Ema<M> {
    /// `None` only during an update.
    model: Option<M>,
    decay: f64,
}

impl<M: Module> Ema<M> {
    pub(crate) fn new(model: &M, decay: f64) -> Self {
        Self { model: Some(model.valid()), decay }
    }

    pub(crate) fn model(&self) -> &M {
        self.model.as_ref().expect("the model is back after every update")
    }

    pub(crate) fn update(&mut self, model: &M) {
        let newest = flattened(model, |_| true);
        let mut average = Average { path: Vec::new(), newest, decay: self.decay };
        self.model = self.model.take().map(|model| model.map(&mut average));
    }

    pub(crate) fn load(&mut self, weights: &Weights) -> Result<(), TrainError> {
        let model = self.model().valid();
        self.model = Some(weights.load_into(model)?);
        Ok(())
    }
}

struct Average {
    path: Vec<String>,
    /// The newest values, flattened because the average does not depend on the rank.
    newest: BTreeMap<String, Tensor<1>>,
    decay: f64,
}

impl ModuleMapper for Average {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(newest) = self.newest.remove(&self.path.join(".")) else { return param };
        param.map(|old| {
            let newest = newest.reshape(old.dims());
            old.clone() + (newest - old).mul_scalar(1.0 - self.decay)
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{BatchNorm, BatchNormConfig};
    use burn::tensor::Device;

    use super::*;

    fn with_gamma(model: BatchNorm, value: f32) -> BatchNorm {
        let device = Device::flex().autodiff();
        BatchNorm { gamma: Param::from_tensor(Tensor::from_floats([value], &device)), ..model }
    }

    #[test]
    fn averages_weights_and_statistics() {
        let device = Device::flex().autodiff();
        let model = with_gamma(BatchNormConfig::new(1).init(&device), 1.0);
        let mut ema = Ema::new(&model, 0.75);
        // Running mean 0 → 0.1 · 2; the average must not follow it through a shared state.
        model.forward(Tensor::<2>::from_floats([[1.0], [3.0]], &device));
        let model = with_gamma(model, 3.0);
        ema.update(&model);
        // 1 + 0.25 · (3 − 1), and 0.25 · 0.2 in float32.
        assert_eq!(ema.model().gamma.val().into_scalar::<f32>(), 1.5);
        let mean = ema.model().running_mean.value().into_scalar::<f32>();
        assert!((mean - 0.05).abs() < 1e-8, "{mean}");
        let kept = model.valid().running_mean.value().into_scalar::<f32>();
        assert!((kept - 0.2).abs() < 1e-7, "{kept}");
    }

    #[test]
    fn what_does_not_change_keeps_its_value() {
        let device = Device::flex().autodiff();
        let values: Vec<f32> = (0..1000).map(|value| value as f32 / 1000.0).collect();
        let gamma = Param::from_tensor(Tensor::from_floats(values.as_slice(), &device));
        let model = BatchNorm { gamma, ..BatchNormConfig::new(1000).init(&device) };
        let mut ema = Ema::new(&model, 0.9);
        for _ in 0..3 {
            ema.update(&model);
        }
        assert_eq!(Weights::of(ema.model()), Weights::of(&model));
    }
}
