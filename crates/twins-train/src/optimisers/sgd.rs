use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};

use super::groups::ParameterGroups;
use super::optimiser::{Optimiser, uploaded};

/// Stochastic gradient descent with momentum and weight decay, as in `torch.optim.SGD` with dampening 0.
///
/// ```text
/// g ← clip · ∇L + weight_decay · w
/// v ← momentum · v + g        (v = g at a parameter's first step)
/// w ← w − learning_rate · v
/// ```
///
/// With Nesterov momentum, the last line is w ← w − learning_rate · (g + momentum · v).
///
/// This library does not use Burn's optimiser for two reasons. Burn loads the optimiser's state onto the default device
/// of the process, which opens a GPU whenever a GPU backend is compiled in. Its gradient clipping is also per
/// parameter.
#[derive(Clone, Debug)]
pub struct Sgd {
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
    groups: ParameterGroups,
    /// The momentum buffers by parameter path, flattened because the update does not depend on the rank.
    velocity: BTreeMap<String, Tensor<1>>,
}

impl Sgd {
    /// Creates an optimiser without state.
    ///
    /// ```
    /// use twins_train::{Optimiser, Sgd};
    ///
    /// assert!(Sgd::new(0.9, 1e-5).state().is_empty());
    /// ```
    pub fn new(momentum: f64, weight_decay: f64) -> Self {
        Self {
            momentum,
            nesterov: false,
            weight_decay,
            groups: ParameterGroups::new(),
            velocity: BTreeMap::new(),
        }
    }

    /// Enables Nesterov momentum.
    #[must_use]
    pub fn with_nesterov(mut self) -> Self {
        self.nesterov = true;
        self
    }

    /// Sets the parameter groups.
    #[must_use]
    pub fn with_groups(mut self, groups: ParameterGroups) -> Self {
        self.groups = groups;
        self
    }
}

impl Optimiser for Sgd {
    fn groups(&self) -> &ParameterGroups {
        &self.groups
    }

    fn update(
        &mut self,
        path: &str,
        weight: Tensor<1>,
        mut gradient: Tensor<1>,
        learning_rate: f64,
        decays: bool,
    ) -> Tensor<1> {
        if decays && self.weight_decay != 0.0 {
            gradient = gradient + weight.clone().mul_scalar(self.weight_decay);
        }
        if self.momentum == 0.0 {
            return weight - gradient.mul_scalar(learning_rate);
        }
        let velocity = match self.velocity.remove(path) {
            Some(velocity) => velocity.mul_scalar(self.momentum) + gradient.clone(),
            None => gradient.clone(),
        };
        self.velocity.insert(path.to_owned(), velocity.clone());
        let direction = match self.nesterov {
            true => gradient + velocity.mul_scalar(self.momentum),
            false => velocity,
        };
        weight - direction.mul_scalar(learning_rate)
    }

    /// The momentum buffers by parameter path, flattened.
    fn state(&self) -> BTreeMap<String, TensorData> {
        self.velocity.iter().map(|(path, velocity)| (path.clone(), velocity.to_data())).collect()
    }

    fn load_state(&mut self, state: BTreeMap<String, TensorData>, device: &Device) {
        let device = device.clone().inner();
        self.velocity = state.into_iter().map(|(path, data)| (path, uploaded(data, &device))).collect();
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::nn::{Linear, LinearConfig};
    use burn::optim::GradientsParams;
    use burn::tensor::DType;

    use super::*;
    use crate::optimisers::AdamW;

    fn weight(model: &Linear) -> f32 {
        model.weight.val().into_scalar::<f32>()
    }

    /// One weight w with the loss 3·w, so that the gradient is 3 throughout.
    fn step(model: Linear, optimiser: &mut Sgd, clip: f64) -> Linear {
        let device = model.weight.val().device();
        let loss = model.forward(Tensor::<2>::from_floats([[3.0]], &device)).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        optimiser.step(model, &gradients, 0.1, clip)
    }

    fn one_weight(value: f32, device: &Device) -> Linear {
        let mut model = LinearConfig::new(1, 1).with_bias(false).init(device);
        model.weight = Param::from_tensor(Tensor::from_floats([[value]], device));
        model
    }

    #[test]
    fn momentum_and_weight_decay_by_hand() {
        let device = Device::flex().autodiff();
        let mut optimiser = Sgd::new(0.9, 0.5);
        let mut model = one_weight(2.0, &device);
        // v = 3 + 0.5·2 = 4, w = 2 − 0.4; then v = 3.6 + 3 + 0.8 = 7.4, w = 1.6 − 0.74. A few roundings of float32.
        for expected in [1.6, 0.86] {
            model = step(model, &mut optimiser, 1.0);
            assert!((weight(&model) - expected).abs() < 1e-6, "{}", weight(&model));
        }
        assert!(model.weight.val().is_require_grad());
    }

    #[test]
    fn nesterov_by_hand() {
        let device = Device::flex().autodiff();
        let mut optimiser = Sgd::new(0.5, 0.0).with_nesterov();
        let mut model = one_weight(2.0, &device);
        // v = 3, w = 2 − 0.1 · (3 + 1.5); then v = 4.5, w = 1.55 − 0.1 · (3 + 2.25). A few roundings of float32.
        for expected in [1.55, 1.025] {
            model = step(model, &mut optimiser, 1.0);
            assert!((weight(&model) - expected).abs() < 1e-6, "{}", weight(&model));
        }
    }

    #[test]
    fn clip_scales_the_gradient_and_not_the_decay() {
        let device = Device::flex().autodiff();
        let model = step(one_weight(2.0, &device), &mut Sgd::new(0.0, 0.5), 0.5);
        // 2 − 0.1 · (1.5 + 1)
        assert!((weight(&model) - 1.75).abs() < 1e-6);
    }

    #[test]
    fn parameters_without_a_gradient_do_not_decay() {
        let device = Device::flex().autodiff();
        let model = one_weight(2.0, &device);
        let mut optimiser = Sgd::new(0.9, 0.5);
        let model = optimiser.step(model, &GradientsParams::new(), 0.1, 1.0);
        assert_eq!(weight(&model), 2.0);
        assert!(optimiser.state().is_empty());
    }

    #[test]
    fn restored_velocity_continues_bit_for_bit() {
        let device = Device::flex().autodiff();
        let mut optimiser = Sgd::new(0.9, 1e-3);
        let mut model = step(one_weight(0.3, &device), &mut optimiser, 1.0);
        let mut resumed = Sgd::new(0.9, 1e-3);
        resumed.load_state(optimiser.state(), &device);
        let mut copy = one_weight(weight(&model), &device);
        for _ in 0..3 {
            model = step(model, &mut optimiser, 1.0);
            copy = step(copy, &mut resumed, 1.0);
            assert_eq!(weight(&model), weight(&copy));
        }
    }

    #[test]
    fn a_restored_state_keeps_its_precision() {
        let device = Device::flex();
        let tensor = |value: f64| Tensor::<1>::from_data([value], (&device, DType::F64));
        let optimisers: [Box<dyn Optimiser>; 2] = [Box::new(Sgd::new(0.9, 0.0)), Box::new(AdamW::new(0.0))];
        for mut optimiser in optimisers {
            let weight = optimiser.update("weight", tensor(1.0), tensor(1.0 / 3.0), 0.1, true);
            let state = optimiser.state();
            optimiser.load_state(state.clone(), &device);
            assert_eq!(optimiser.state(), state);
            let weight = optimiser.update("weight", weight, tensor(0.5), 0.1, true);
            assert_eq!(weight.dtype(), DType::F64);
        }
    }
}
