use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};

use super::groups::ParameterGroups;
use super::optimiser::{Optimiser, uploaded};

/// Adam with decoupled weight decay, as in `torch.optim.AdamW`.
///
/// ```text
/// w ← w − learning_rate · weight_decay · w
/// m ← beta₁ · m + (1 − beta₁) · g
/// v ← beta₂ · v + (1 − beta₂) · g²
/// w ← w − learning_rate · (m / (1 − beta₁ᵗ)) / (√(v / (1 − beta₂ᵗ)) + epsilon)
/// ```
///
/// Where g is the clipped gradient and t counts the steps of the parameter from 1. Source: Loshchilov, Hutter, "Decoupled Weight
/// Decay Regularization", ICLR 2019, algorithm 2.
///
/// | setting | default | range |
/// |---|---|---|
/// | `weight_decay` | required | ≥ 0 |
/// | `betas` | 0.9, 0.999 | [0, 1) |
/// | `epsilon` | 1e-8 | > 0 |
#[derive(Clone, Debug)]
pub struct AdamW {
    weight_decay: f64,
    betas: [f64; 2],
    epsilon: f64,
    groups: ParameterGroups,
    /// The averages by parameter path.
    averages: BTreeMap<String, Averages>,
}

/// The moving averages of one parameter, flattened.
#[derive(Clone, Debug)]
struct Averages {
    gradient: Tensor<1>,
    square: Tensor<1>,
    steps: i32,
}

const GRADIENT: &str = ".gradient";
const SQUARE: &str = ".square";
const STEPS: &str = ".steps";

impl AdamW {
    /// Creates an optimiser without state.
    pub fn new(weight_decay: f64) -> Self {
        Self {
            weight_decay,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            groups: ParameterGroups::new(),
            averages: BTreeMap::new(),
        }
    }

    /// Sets the decay rates of the moving averages of the gradient and of its square.
    #[must_use]
    pub fn with_betas(mut self, betas: [f64; 2]) -> Self {
        self.betas = betas;
        self
    }

    /// Sets the constant that is added to the denominator.
    #[must_use]
    pub fn with_epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Sets the parameter groups.
    #[must_use]
    pub fn with_groups(mut self, groups: ParameterGroups) -> Self {
        self.groups = groups;
        self
    }
}

impl Optimiser for AdamW {
    fn groups(&self) -> &ParameterGroups {
        &self.groups
    }

    fn update(
        &mut self,
        path: &str,
        mut weight: Tensor<1>,
        gradient: Tensor<1>,
        learning_rate: f64,
        decays: bool,
    ) -> Tensor<1> {
        if decays && self.weight_decay != 0.0 {
            weight = weight.mul_scalar(1.0 - learning_rate * self.weight_decay);
        }
        let [beta1, beta2] = self.betas;
        let squared = gradient.clone() * gradient.clone();
        let averages = match self.averages.remove(path) {
            Some(Averages { gradient: mean, square, steps }) => Averages {
                gradient: mean.mul_scalar(beta1) + gradient.mul_scalar(1.0 - beta1),
                square: square.mul_scalar(beta2) + squared.mul_scalar(1.0 - beta2),
                steps: steps + 1,
            },
            None => Averages {
                gradient: gradient.mul_scalar(1.0 - beta1),
                square: squared.mul_scalar(1.0 - beta2),
                steps: 1,
            },
        };
        let [correction1, correction2] = self.betas.map(|beta| 1.0 - beta.powi(averages.steps));
        let denominator =
            averages.square.clone().sqrt().div_scalar(correction2.sqrt()).add_scalar(self.epsilon);
        let direction = averages.gradient.clone() / denominator;
        self.averages.insert(path.to_owned(), averages);
        weight - direction.mul_scalar(learning_rate / correction1)
    }

    fn state(&self) -> BTreeMap<String, TensorData> {
        let mut state = BTreeMap::new();
        for (path, averages) in &self.averages {
            state.insert(format!("{path}{GRADIENT}"), averages.gradient.to_data());
            state.insert(format!("{path}{SQUARE}"), averages.square.to_data());
            // The number of steps is exact in float32 up to 2²⁴.
            state.insert(format!("{path}{STEPS}"), TensorData::from([averages.steps as f32]));
        }
        state
    }

    fn load_state(&mut self, mut state: BTreeMap<String, TensorData>, device: &Device) {
        let device = device.clone().inner();
        let paths: Vec<String> =
            state.keys().filter_map(|name| name.strip_suffix(STEPS)).map(str::to_owned).collect();
        self.averages.clear();
        for path in paths {
            let mut take = |suffix: &str| state.remove(&format!("{path}{suffix}"));
            let (Some(gradient), Some(square), Some(steps)) = (take(GRADIENT), take(SQUARE), take(STEPS))
            else {
                continue;
            };
            let averages = Averages {
                gradient: uploaded(gradient, &device),
                square: uploaded(square, &device),
                steps: steps.iter::<f32>().next().unwrap_or(1.0) as i32,
            };
            self.averages.insert(path, averages);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::nn::{Linear, LinearConfig};
    use burn::optim::GradientsParams;

    use super::*;
    use crate::optimisers::Decay;

    fn model(value: f32) -> Linear {
        let device = Device::flex().autodiff();
        let mut model = LinearConfig::new(1, 1).init(&device);
        model.weight = Param::from_tensor(Tensor::from_floats([[value]], &device));
        model.bias = Some(Param::from_tensor(Tensor::from_floats([value], &device)));
        model
    }

    fn values(model: &Linear) -> [f32; 2] {
        let bias = model.bias.as_ref().expect("it has one").val().into_scalar::<f32>();
        [model.weight.val().into_scalar::<f32>(), bias]
    }

    /// The gradient of the weight is 3 · factor and that of the bias factor.
    fn step(model: Linear, optimiser: &mut AdamW, factor: f32) -> Linear {
        let device = model.weight.val().device();
        let loss = model.forward(Tensor::<2>::from_floats([[3.0]], &device)).sum().mul_scalar(factor);
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        optimiser.step(model, &gradients, 0.1, 1.0)
    }

    #[test]
    fn two_steps_by_hand() {
        let mut optimiser = AdamW::new(0.5).with_betas([0.5, 0.75]).with_epsilon(1.0);
        let trained = step(model(2.0), &mut optimiser, 1.0);
        // Weight: 2 · (1 − 0.05) = 1.9; m = 1.5, v = 2.25; m / 0.5 = 3, √(v / 0.25) = 3: 1.9 − 0.1 · 3 / 4. A few roundings of float32.
        let [weight, bias] = values(&trained);
        assert!((weight - 1.825).abs() < 1e-6, "{weight}");
        // Bias: m = 0.5, v = 0.25: 1.9 − 0.1 · 1 / 2.
        assert!((bias - 1.85).abs() < 1e-6, "{bias}");
        let [weight, _] = values(&step(trained, &mut optimiser, 2.0));
        // 1.825 · 0.95; m = 0.75 + 3 = 3.75, v = 1.6875 + 9 = 10.6875; m / 0.75 = 5, √(v / 0.4375).
        let expected = 1.825 * 0.95 - 0.1 * 5.0 / ((10.6875_f64 / 0.4375).sqrt() + 1.0);
        assert!((f64::from(weight) - expected).abs() < 1e-6, "{weight}, {expected}");
    }

    #[test]
    fn groups_spare_the_bias_and_speed_up_the_head() {
        let groups = ParameterGroups::new().with_head("bias", 10.0).with_decay(Decay::Weights);
        let mut optimiser = AdamW::new(0.5).with_betas([0.5, 0.75]).with_epsilon(1.0).with_groups(groups);
        let [weight, bias] = values(&step(model(2.0), &mut optimiser, 1.0));
        assert!((weight - 1.825).abs() < 1e-6, "{weight}");
        // No decay, ten times the learning rate: 2 − 1 · 1 / 2.
        assert!((bias - 1.5).abs() < 1e-6, "{bias}");
    }

    #[test]
    fn a_restored_state_continues_bit_for_bit() {
        let mut optimiser = AdamW::new(0.01);
        let mut trained = step(model(0.3), &mut optimiser, 1.0);
        let mut resumed = AdamW::new(0.01);
        resumed.load_state(optimiser.state(), &Device::flex());
        let mut copy = trained.clone();
        for factor in [1.0, -0.5, 2.0] {
            trained = step(trained, &mut optimiser, factor);
            copy = step(copy, &mut resumed, factor);
            assert_eq!(values(&trained), values(&copy));
        }
    }
}
