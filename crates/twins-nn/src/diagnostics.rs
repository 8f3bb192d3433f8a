use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};

/// The weights of a model before an optimiser step, kept to measure afterwards how the step changed them.
///
/// This is the quantity that the method's argument is about (TWINS, section 3.3). Before a batch norm, only the direction
/// of a weight matters, so a step Δw changes the function by ‖Δw‖ / ‖w‖, its *effective* learning rate. The frozen wing
/// keeps the weights small and the effective learning rate large.
///
/// The trace holds references to the weights, not copies. While it exists, the optimiser cannot update them in place.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::optim::{GradientsParams, SgdConfig};
/// use burn::tensor::{Device, Tensor};
/// use twins_nn::WeightTrace;
///
/// let device = Device::flex().autodiff();
/// let model = LinearConfig::new(4, 2).init(&device);
/// let mut sgd = SgdConfig::new().init();
///
/// let loss = model.forward(Tensor::<2>::ones([3, 4], &device)).sum();
/// let gradients = GradientsParams::from_grads(loss.backward(), &model);
/// let before = WeightTrace::of(&model, &gradients);
/// let model = sgd.step(0.1, model, gradients);
/// for change in before.changes(&model) {
///     println!("{}: {:.3}", change.path, change.effective_learning_rate());
/// }
/// ```
#[derive(Debug)]
pub struct WeightTrace {
    weights: Vec<TracedWeight>,
}

#[derive(Debug)]
struct TracedWeight {
    path: String,
    id: ParamId,
    /// The flattened value.
    value: Tensor<1>,
    /// Sum of the squares of the gradient.
    gradient: Option<Tensor<1>>,
}

/// The change of one parameter in one step.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightChange {
    /// Path of the parameter in the model, for instance `layer1.conv.weight`.
    pub path: String,
    /// ‖w‖₂ before the step.
    pub weight_norm: f64,
    /// ‖∂loss/∂w‖₂; `None` where the parameter had no gradient.
    pub gradient_norm: Option<f64>,
    /// ‖Δw‖₂.
    pub update_norm: f64,
}

impl WeightChange {
    /// The effective learning rate ‖Δw‖ / ‖w‖. It is 0 if nothing changed, and infinite if the weight was zero.
    pub fn effective_learning_rate(&self) -> f64 {
        if self.update_norm == 0.0 { 0.0 } else { self.update_norm / self.weight_norm }
    }
}

impl WeightTrace {
    /// Records the trainable parameters of a model and their gradients.
    pub fn of<M: Module>(model: &M, gradients: &GradientsParams) -> Self {
        let mut collect = Collect { path: Vec::new(), gradients: Some(gradients), weights: Vec::new() };
        model.visit(&mut collect);
        Self { weights: collect.weights }
    }

    /// Returns the change of each parameter since then, in the model's order. Parameters that the model no longer has are
    /// left out.
    pub fn changes<M: Module>(&self, model: &M) -> Vec<WeightChange> {
        let mut now = Collect { path: Vec::new(), gradients: None, weights: Vec::new() };
        model.visit(&mut now);
        let found: Vec<(&TracedWeight, Tensor<1>)> = (self.weights.iter())
            .filter_map(|weight| {
                let after = now.weights.iter().find(|after| after.id == weight.id)?;
                let (before, after) =
                    (weight.value.clone().cast(DType::F32), after.value.clone().cast(DType::F32));
                let squares = [
                    Some((after - before.clone()).powi_scalar(2).sum()),
                    Some(before.powi_scalar(2).sum()),
                    weight.gradient.clone(),
                ];
                Some((weight, Tensor::cat(squares.into_iter().flatten().collect(), 0)))
            })
            .collect();
        if found.is_empty() {
            return Vec::new();
        }
        // Reads the values of the whole model at once, because each read waits for the device.
        let sizes: Vec<usize> = found.iter().map(|(_, squares)| squares.dims()[0]).collect();
        let (weights, squares): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let data = Tensor::cat(squares, 0).into_data();
        let mut norms = data.iter::<f64>().map(f64::sqrt);
        let mut next = || norms.next().expect("as many as were joined");
        (weights.into_iter().zip(sizes))
            .map(|(weight, size)| WeightChange {
                path: weight.path.clone(),
                update_norm: next(),
                weight_norm: next(),
                gradient_norm: (size == 3).then(&mut next),
            })
            .collect()
    }
}

struct Collect<'a> {
    path: Vec<String>,
    gradients: Option<&'a GradientsParams>,
    weights: Vec<TracedWeight>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if !value.is_require_grad() {
            return;
        }
        let gradient = self.gradients.and_then(|gradients| gradients.get::<D>(param.id));
        let size = value.shape().num_elements();
        self.weights.push(TracedWeight {
            path: self.path.join("."),
            id: param.id,
            value: value.inner().reshape([size]),
            gradient: gradient.map(|gradient| gradient.cast(DType::F32).powi_scalar(2).sum()),
        });
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::optim::SgdConfig;
    use burn::tensor::Device;

    use super::*;
    use crate::{TwinsBatchNorm, TwinsBatchNormConfig, TwinsModule, Wing};

    #[derive(Module, Debug)]
    struct Net {
        linear: Linear,
        norm: TwinsBatchNorm,
    }

    #[test]
    fn a_step_of_sgd_is_told_as_it_was() {
        let device = Device::flex().autodiff();
        let mut net = Net {
            linear: LinearConfig::new(2, 1).with_bias(false).init(&device),
            norm: TwinsBatchNormConfig::new(1).init(&device).with_wing(Wing::Adaptive),
        };
        net.linear.weight = Param::from_tensor(Tensor::from_floats([[3.0], [4.0]], &device));
        // The gradient of the sum is the input, [6, 8]: norm 10, and a tenth of it is taken off.
        let loss = net.linear.forward(Tensor::<2>::from_floats([[6.0, 8.0]], &device)).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &net);
        let before = WeightTrace::of(&net, &gradients);
        let net = SgdConfig::new().init().step(0.1, net, gradients);
        let changes = before.changes(&net);

        let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(
            paths,
            ["linear.weight", "norm.gamma", "norm.beta", "norm.frozen_gamma", "norm.frozen_beta"],
            "the statistics are not trained"
        );
        let linear = &changes[0];
        assert_eq!((linear.weight_norm, linear.gradient_norm), (5.0, Some(10.0)));
        // 0.1 is not a binary fraction.
        assert!((linear.update_norm - 1.0).abs() < 1e-6);
        assert!((linear.effective_learning_rate() - 0.2).abs() < 1e-6);
        let gamma = &changes[1];
        assert_eq!(
            (gamma.gradient_norm, gamma.update_norm, gamma.effective_learning_rate()),
            (None, 0.0, 0.0)
        );
    }
}
