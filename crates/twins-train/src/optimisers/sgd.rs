use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use super::trainable::trainable;

/// Stochastic gradient descent with momentum and weight decay: the update of `torch.optim.SGD` with dampening 0
/// and without Nesterov's term, on every parameter that received a gradient.
///
/// ```text
/// g ← clip · ∇L + weight_decay · w
/// v ← momentum · v + g        (v = g at a parameter's first step)
/// w ← w − learning_rate · v
/// ```
///
/// Parameters without a gradient are left alone and do not decay, as in PyTorch where their gradient is `None`:
/// the frozen wing in ordinary adversarial training, frozen layers.
///
/// It is not Burn's optimiser because the state of that one is read back onto the process's default device,
/// which opens a GPU wherever a GPU backend is compiled in, and because its clipping is per parameter.
#[derive(Clone, Debug)]
pub struct Sgd {
    momentum: f64,
    weight_decay: f64,
    /// By parameter path, flattened: rank does not matter to the update.
    velocity: BTreeMap<String, Tensor<1>>,
}

impl Sgd {
    /// An optimiser that has not made a step.
    ///
    /// ```
    /// use twins_train::Sgd;
    ///
    /// assert!(Sgd::new(0.9, 1e-5).velocity().is_empty());
    /// ```
    pub fn new(momentum: f64, weight_decay: f64) -> Self {
        Self { momentum, weight_decay, velocity: BTreeMap::new() }
    }

    /// Returns the model after one step.
    ///
    /// `clip` scales the gradients before weight decay is added; 1 leaves them as they are.
    pub fn step<M: Module>(
        &mut self,
        model: M,
        gradients: &GradientsParams,
        learning_rate: f64,
        clip: f64,
    ) -> M {
        model.map(&mut Update { optimiser: self, gradients, learning_rate, clip, path: Vec::new() })
    }

    /// The momentum buffers by parameter path, flattened.
    pub fn velocity(&self) -> BTreeMap<String, TensorData> {
        self.velocity.iter().map(|(path, velocity)| (path.clone(), velocity.to_data())).collect()
    }

    /// Returns the optimiser with momentum buffers as [`velocity`](Sgd::velocity) gave them.
    #[must_use]
    pub fn with_velocity(mut self, velocity: BTreeMap<String, TensorData>, device: &Device) -> Self {
        let device = device.clone().inner();
        self.velocity =
            velocity.into_iter().map(|(path, data)| (path, Tensor::from_data(data, &device))).collect();
        self
    }
}

struct Update<'a> {
    optimiser: &'a mut Sgd,
    gradients: &'a GradientsParams,
    learning_rate: f64,
    clip: f64,
    path: Vec<String>,
}

impl Update<'_> {
    fn direction(&mut self, weight: Tensor<1>, mut gradient: Tensor<1>) -> Tensor<1> {
        if self.clip != 1.0 {
            gradient = gradient.mul_scalar(self.clip);
        }
        if self.optimiser.weight_decay != 0.0 {
            gradient = gradient + weight.mul_scalar(self.optimiser.weight_decay);
        }
        if self.optimiser.momentum == 0.0 {
            return gradient;
        }
        let path = self.path.join(".");
        let velocity = match self.optimiser.velocity.remove(&path) {
            Some(velocity) => velocity.mul_scalar(self.optimiser.momentum) + gradient,
            None => gradient,
        };
        self.optimiser.velocity.insert(path, velocity.clone());
        velocity
    }
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return param };
        param.map(|tensor| {
            let (shape, checkpointing) = (tensor.dims(), tensor.gradient_checkpointing_strategy());
            let elements = shape.iter().product::<usize>();
            let weight = tensor.inner().reshape([elements]);
            let direction = self.direction(weight.clone(), gradient.inner().reshape([elements]));
            let updated = weight - direction.mul_scalar(self.learning_rate);
            trainable(updated.reshape(shape), checkpointing)
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};

    use super::*;

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
        assert!(optimiser.velocity().is_empty());
    }

    #[test]
    fn restored_velocity_continues_bit_for_bit() {
        let device = Device::flex().autodiff();
        let mut optimiser = Sgd::new(0.9, 1e-3);
        let mut model = step(one_weight(0.3, &device), &mut optimiser, 1.0);
        let mut resumed = Sgd::new(0.9, 1e-3).with_velocity(optimiser.velocity(), &device);
        let mut copy = one_weight(weight(&model), &device);
        for _ in 0..3 {
            model = step(model, &mut optimiser, 1.0);
            copy = step(copy, &mut resumed, 1.0);
            assert_eq!(weight(&model), weight(&copy));
        }
    }
}
