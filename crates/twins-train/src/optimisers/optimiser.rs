use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::adamw::AdamW;
use super::groups::ParameterGroups;
use super::sgd::Sgd;
use super::trainable::trainable;

/// Updates parameters from their gradients. [`Sgd`] and [`AdamW`] implement this trait.
///
/// Every parameter is flattened and updated separately. Parameters without a gradient remain unchanged and do not decay, like
/// PyTorch parameters whose gradient is `None`. Examples are frozen layers, and the frozen wing in ordinary adversarial training.
pub trait Optimiser: Send {
    /// The parameter groups.
    fn groups(&self) -> &ParameterGroups;

    /// Computes the new value `[elements]` of a parameter. If `decays` is false, weight decay is not applied.
    fn update(
        &mut self,
        path: &str,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        learning_rate: f64,
        decays: bool,
    ) -> Tensor<1>;

    /// The state that has to be saved to resume training. Each name begins with the path of a parameter.
    fn state(&self) -> BTreeMap<String, TensorData>;

    /// Replaces the state by one that [`state`](Self::state) returned.
    fn load_state(&mut self, state: BTreeMap<String, TensorData>, device: &Device);

    /// Makes one step and returns the updated model.
    ///
    /// `clip` scales the gradients before weight decay is added; 1 leaves them unchanged.
    fn step<M: Module>(&mut self, model: M, gradients: &GradientsParams, learning_rate: f64, clip: f64) -> M
    where
        Self: Sized,
    {
        optimise(self, model, gradients, learning_rate, clip)
    }
}

/// Uploads a part of an optimiser's state in its own precision, which is that of the parameter.
pub(super) fn uploaded(data: TensorData, device: &Device) -> Tensor<1> {
    let dtype = data.dtype();
    Tensor::from_data(data, (device, dtype))
}

/// Makes one step of an optimiser and returns the updated model. `clip` scales the gradients before weight decay is added; 1
/// leaves them unchanged.
pub(crate) fn optimise<M: Module>(
    optimiser: &mut dyn Optimiser,
    model: M,
    gradients: &GradientsParams,
    learning_rate: f64,
    clip: f64,
) -> M {
    model.map(&mut Update { optimiser, gradients, learning_rate, clip, path: Vec::new() })
}

struct Update<'a> {
    optimiser: &'a mut dyn Optimiser,
    gradients: &'a GradientsParams,
    learning_rate: f64,
    clip: f64,
    path: Vec<String>,
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
        let path = self.path.join(".");
        let groups = self.optimiser.groups();
        let learning_rate = self.learning_rate * groups.learning_rate_factor(&path);
        let decays = groups.decays(D);
        param.map(|tensor| {
            let (shape, checkpointing) = (tensor.dims(), tensor.gradient_checkpointing_strategy());
            let elements = shape.iter().product::<usize>();
            let weight = tensor.inner().reshape([elements]);
            let mut gradient = gradient.inner().reshape([elements]);
            if self.clip != 1.0 {
                gradient = gradient.mul_scalar(self.clip);
            }
            let updated = self.optimiser.update(&path, weight, gradient, learning_rate, decays);
            trainable(updated.reshape(shape), checkpointing)
        })
    }
}

/// The optimiser of a training run. Momentum and weight decay are separate settings.
///
/// | `kind` | settings | optimiser |
/// |---|---|---|
/// | `sgd` | | [`Sgd`] |
/// | `nesterov` | | [`Sgd`] with Nesterov's momentum |
/// | `adamw` | `betas` (0.9, 0.999), `epsilon` 1e-8 | [`AdamW`], which ignores `momentum` |
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OptimiserConfig {
    /// Stochastic gradient descent with momentum.
    #[default]
    Sgd,
    /// Stochastic gradient descent with Nesterov's momentum.
    Nesterov,
    /// Adam with decoupled weight decay.
    #[serde(rename = "adamw")]
    AdamW {
        /// Decay rates of the moving averages of the gradient and of its square, each in [0, 1).
        #[serde(default = "usual_betas")]
        betas: [f64; 2],
        /// Constant that is added to the denominator, above 0.
        #[serde(default = "usual_epsilon")]
        epsilon: f64,
    },
}

fn usual_betas() -> [f64; 2] {
    [0.9, 0.999]
}

fn usual_epsilon() -> f64 {
    1e-8
}

impl OptimiserConfig {
    /// Creates AdamW with PyTorch's defaults.
    pub fn adamw() -> Self {
        Self::AdamW { betas: usual_betas(), epsilon: usual_epsilon() }
    }

    /// Creates an optimiser without state.
    pub(crate) fn build(
        self,
        momentum: f64,
        weight_decay: f64,
        groups: ParameterGroups,
    ) -> Box<dyn Optimiser> {
        match self {
            Self::Sgd => Box::new(Sgd::new(momentum, weight_decay).with_groups(groups)),
            Self::Nesterov => Box::new(Sgd::new(momentum, weight_decay).with_nesterov().with_groups(groups)),
            Self::AdamW { betas, epsilon } => {
                Box::new(AdamW::new(weight_decay).with_betas(betas).with_epsilon(epsilon).with_groups(groups))
            }
        }
    }
}
