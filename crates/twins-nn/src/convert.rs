use burn::module::{Param, RunningState};
use burn::nn::BatchNorm;
use burn::tensor::Tensor;

use crate::config::fixed;
use crate::{RunningVariance, TwinsBatchNorm, Wing};

/// Both wings take the batch norm's gamma, beta and running statistics. The layer trains where the batch norm
/// did, and keeps Burn's biased running variance, so that the adaptive wing behaves as before.
impl From<BatchNorm> for TwinsBatchNorm {
    fn from(norm: BatchNorm) -> Self {
        let wing = match norm.training.is_enabled() {
            true => Wing::AdaptiveTraining,
            false => Wing::Adaptive,
        };
        let (training, frozen) = wing.flags();
        let (mean, var) = (norm.running_mean.value_sync(), norm.running_var.value_sync());
        TwinsBatchNorm {
            frozen_gamma: Some(copy(&norm.gamma)),
            frozen_beta: Some(copy(&norm.beta)),
            frozen_mean: fixed(mean.clone()),
            frozen_var: fixed(var.clone()),
            gamma: norm.gamma,
            beta: norm.beta,
            running_mean: RunningState::new(mean),
            running_var: RunningState::new(var),
            training: Param::from_bool(training),
            frozen: Param::from_bool(frozen),
            epsilon: norm.epsilon,
            momentum: norm.momentum,
            running_variance: RunningVariance::Biased,
        }
    }
}

/// The adaptive wing as an ordinary batch norm: what is deployed.
impl From<TwinsBatchNorm> for BatchNorm {
    fn from(norm: TwinsBatchNorm) -> Self {
        BatchNorm {
            running_mean: RunningState::new(norm.running_mean.value_sync()),
            running_var: RunningState::new(norm.running_var.value_sync()),
            gamma: norm.gamma,
            beta: norm.beta,
            training: norm.training,
            momentum: norm.momentum,
            epsilon: norm.epsilon,
        }
    }
}

/// The same value under an identity of its own, so that the optimiser keeps a state for each wing.
fn copy(param: &Param<Tensor<1>>) -> Param<Tensor<1>> {
    let tracked = param.is_require_grad();
    Param::from_tensor(param.val().detach()).set_require_grad(tracked)
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::nn::BatchNormConfig;
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;
    use crate::TwinsModule;

    /// A batch norm whose running statistics have moved.
    fn trained(device: &Device) -> BatchNorm {
        let norm = BatchNormConfig::new(3).init(device);
        device.seed(7);
        norm.forward(Tensor::<4>::random([4, 3, 2, 2], Distribution::Normal(1.0, 2.0), device));
        norm
    }

    #[test]
    fn both_wings_start_as_the_batch_norm() {
        let device = Device::flex().autodiff();
        let norm = trained(&device).valid();
        let input = Tensor::<4>::random([2, 3, 2, 2], Distribution::Default, &Device::flex());
        let expected = norm.forward(input.clone()).into_data();

        let twins = TwinsBatchNorm::from(norm);
        // The same operation on the same values.
        assert_eq!(twins.forward(input.clone()).into_data(), expected);
        assert_eq!(twins.with_wing(Wing::Frozen).forward(input).into_data(), expected);
    }

    #[test]
    fn training_equals_the_batch_norm_step_by_step() {
        let device = Device::flex().autodiff();
        let stock = trained(&device);
        // Not from the stock layer itself: Burn shares running statistics between clones.
        let twins = TwinsBatchNorm::from(stock.valid().train());
        assert_eq!(twins.wing(), Wing::AdaptiveTraining);
        for _ in 0..3 {
            let input = Tensor::<4>::random([4, 3, 2, 2], Distribution::Default, &device);
            let expected = stock.forward(input.clone()).into_data();
            // Float rounding of one normalisation.
            twins.forward(input).into_data().assert_approx_eq::<f32>(&expected, Tolerance::absolute(1e-6));
        }
        let (stock, twins) = (stock.valid(), BatchNorm::from(twins.valid()));
        assert_eq!(twins.running_mean.value().into_data(), stock.running_mean.value().into_data());
        assert_eq!(twins.running_var.value().into_data(), stock.running_var.value().into_data());
    }
}
