use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::trainable::trainable;
use crate::objectives::{Objective, TrainingBatch, TrainingModel};

/// Keeps the direction finite if the gradient of a layer is zero. The value is that of the authors' code.
const NORM_FLOOR: f64 = 1e-20;

/// Adversarial weight perturbation: the gradient of every step is computed at weights that are perturbed in the
/// direction that increases the loss.
///
/// ```text
/// v_l = gamma · ‖w_l‖ · g_l / ‖g_l‖,   g = ∇ L(w)        per weight w_l of rank 2 or more
/// w   ← SGD step from w with the gradient ∇ L(w + v)
/// ```
///
/// Where L is the objective on the batch with its adversarial examples, and the norms are Euclidean. Biases and
/// normalisation parameters are not perturbed. The perturbation works with every objective. A step needs two passes of the
/// objective instead of one. Source: Wu, Xia, Wang, "Adversarial Weight Perturbation Helps Robust Generalization", NeurIPS
/// 2020, with one step in weight space, as in the authors' experiments.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `gamma` | 0.01 | length of the perturbation, as a fraction of each weight's norm | (0, 1] |
/// | `warmup_epochs` | 0 | epochs without perturbation at the beginning | ≥ 0 |
///
/// The authors' code uses 0.01 with AT and 0.005 after 10 epochs with TRADES.
///
/// ```
/// use twins_train::{AwpConfig, Method, TrainConfig};
///
/// let config = TrainConfig::new(Method::Trades).with_awp(AwpConfig::new(0.005).with_warmup_epochs(10));
/// assert!(config.validate().is_ok());
/// assert!(config.with_awp(AwpConfig::new(0.0)).validate().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AwpConfig {
    /// Length of the perturbation, as a fraction of each weight's norm.
    pub gamma: f64,
    /// Epochs without perturbation at the beginning.
    pub warmup_epochs: usize,
}

impl Default for AwpConfig {
    fn default() -> Self {
        Self::new(0.01)
    }
}

impl AwpConfig {
    /// Creates a perturbation that is active from the first epoch on.
    pub fn new(gamma: f64) -> Self {
        Self { gamma, warmup_epochs: 0 }
    }

    /// Sets the number of epochs without perturbation at the beginning.
    #[must_use]
    pub fn with_warmup_epochs(mut self, epochs: usize) -> Self {
        self.warmup_epochs = epochs;
        self
    }

    /// The length of the perturbation in an epoch, which counts from 0; `None` during the warm-up.
    pub(crate) fn gamma_at(&self, epoch: usize) -> Option<f64> {
        (epoch >= self.warmup_epochs).then_some(self.gamma)
    }
}

/// Returns the model with its weights perturbed in the direction that increases the loss. The result shares the running
/// statistics and the parameter ids of the model.
///
/// `snapshot` is the model's [`valid`](Module::valid): the pass that finds the direction runs on a copy of the snapshot,
/// so that it does not update the model's running statistics. The authors call this copy the proxy model.
pub(crate) fn perturbed<M: Module, O: Objective<M> + ?Sized>(
    model: &TrainingModel<M>,
    snapshot: &TrainingModel<M>,
    objective: &O,
    batch: &TrainingBatch,
    gamma: f64,
) -> TrainingModel<M> {
    let proxy = snapshot.clone().train();
    let loss = objective.loss_with_parameters(&proxy.model, &proxy.parameters, batch).total;
    ascended(model, &GradientsParams::from_grads(loss.backward(), &proxy), gamma)
}

/// Like [`perturbed`], with gradients that have been computed already.
pub(crate) fn ascended<M: Module>(model: &M, gradients: &GradientsParams, gamma: f64) -> M {
    model.clone().map(&mut Ascend { gradients, gamma })
}

struct Ascend<'a> {
    gradients: &'a GradientsParams,
    gamma: f64,
}

impl ModuleMapper for Ascend<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if D < 2 {
            return param;
        }
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return param };
        param.map(|tensor| {
            let checkpointing = tensor.gradient_checkpointing_strategy();
            let (weight, gradient) = (tensor.inner(), gradient.inner());
            let scale = norm(&weight).mul_scalar(self.gamma) / norm(&gradient).add_scalar(NORM_FLOOR);
            let step = gradient * scale.cast(weight.dtype()).reshape([1; D]);
            trainable(weight + step, checkpointing)
        })
    }
}

/// Computes the norm in float32, which can represent numbers below [`NORM_FLOOR`].
fn norm<const D: usize>(tensor: &Tensor<D>) -> Tensor<1> {
    tensor.clone().cast(DType::F32).powi_scalar(2).sum().sqrt()
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;
    use twins_nn::Wing;

    use super::*;
    use crate::objectives::Loss;
    use twins_nn::ImageClassifier;

    #[derive(Module, Debug)]
    struct Net {
        linear: Linear,
    }

    impl ImageClassifier for Net {
        fn logits(&self, images: Tensor<4>) -> Tensor<2> {
            self.linear.forward(images.flatten(1, 3))
        }
    }

    /// 6·w₁ + 8·w₂ + 10·bias for the image [6, 8] that stands ten times.
    struct Sum;

    impl Objective<Net> for Sum {
        fn wing(&self) -> Wing {
            Wing::AdaptiveTraining
        }

        fn loss(&self, model: &Net, batch: &TrainingBatch) -> Loss {
            let logits = model.logits(batch.clean.clone());
            let total = logits.clone().sum();
            Loss { adaptive: total.clone(), total, frozen: None, logits }
        }
    }

    #[test]
    fn one_step_by_hand() {
        let device = Device::flex().autodiff();
        let mut net = Net { linear: LinearConfig::new(2, 1).init(&device) };
        net.linear.weight = Param::from_tensor(Tensor::from_floats([[3.0], [4.0]], &device));
        net.linear.bias = Some(Param::from_tensor(Tensor::from_floats([0.5], &device)));
        let images = Tensor::<4>::from_floats([[[[6.0, 8.0]]]], &device);
        let batch = TrainingBatch::new(images.clone(), images, Tensor::from_ints([0], &device));
        let given = TrainingModel::from(net.clone());
        let moved = perturbed(&given, &given.valid(), &Sum, &batch, 0.1).model;
        // ‖w‖ = 5, so that the step has length 0.5 along [0.6, 0.8]; a few roundings of float32.
        let weight = moved.linear.weight.val().into_data().try_to_vec::<f32>().unwrap();
        assert!((weight[0] - 3.3).abs() < 1e-6 && (weight[1] - 4.4).abs() < 1e-6, "{weight:?}");
        assert!(moved.linear.weight.val().is_require_grad());
        assert_eq!(moved.linear.weight.id, net.linear.weight.id);
        assert_eq!(moved.linear.bias.unwrap().val().into_scalar::<f32>(), 0.5);
        assert_eq!(net.linear.weight.val().into_data().try_to_vec::<f32>().unwrap(), [3.0, 4.0]);
    }

    #[test]
    fn a_weight_without_influence_stays_finite() {
        let device = Device::flex().autodiff();
        let net = Net { linear: LinearConfig::new(2, 1).init(&device) };
        let images = Tensor::<4>::zeros([1, 1, 1, 2], &device);
        let batch = TrainingBatch::new(images.clone(), images, Tensor::from_ints([0], &device));
        let given = TrainingModel::from(net.clone());
        let moved = perturbed(&given, &given.valid(), &Sum, &batch, 0.1).model;
        assert_eq!(moved.linear.weight.val().into_data(), net.linear.weight.val().into_data());
    }

    #[test]
    fn warm_up_ends() {
        let awp = AwpConfig::new(0.005).with_warmup_epochs(2);
        assert_eq!([0, 1, 2].map(|epoch| awp.gamma_at(epoch)), [None, None, Some(0.005)]);
    }
}
