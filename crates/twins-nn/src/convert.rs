use burn::module::{Module, Param, ParamId, RunningState};
use burn::nn::BatchNorm;
use burn::tensor::Tensor;

use crate::config::fixed;
use crate::{RunningVariance, TwinsBatchNorm};

/// Converts a batch norm: both wings take its gamma, beta and running statistics.
///
/// The layer is in training mode if the batch norm was, and [`train`](Module::train) selects the mode that it selects for the batch
/// norm. It keeps Burn's biased running variance, so that the adaptive wing behaves as the batch norm did.
impl From<BatchNorm> for TwinsBatchNorm {
    fn from(norm: BatchNorm) -> Self {
        let (mean, var) = (current(&norm.running_mean), current(&norm.running_var));
        TwinsBatchNorm {
            frozen_gamma: Some(copy(&norm.gamma)),
            frozen_beta: Some(copy(&norm.beta)),
            frozen_mean: fixed(mean.clone()),
            frozen_var: fixed(var.clone()),
            gamma: norm.gamma,
            beta: norm.beta,
            running_mean: RunningState::new(mean),
            running_var: RunningState::new(var),
            training: norm.training,
            frozen: Param::from_bool(false),
            epsilon: norm.epsilon,
            momentum: norm.momentum,
            running_variance: RunningVariance::Biased,
        }
    }
}

/// Converts the adaptive wing to an ordinary batch norm, for deployment.
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

/// The value of a running state after the updates of all threads.
fn current(state: &RunningState<Tensor<1>>) -> Tensor<1> {
    // `value_sync` applies none if this thread made none, and `valid` all.
    let _ = state.valid();
    state.value()
}

/// Copies a parameter under a new id, so that the optimiser keeps a separate state for each wing.
fn copy(param: &Param<Tensor<1>>) -> Param<Tensor<1>> {
    let tracked = param.is_require_grad();
    // Without autodiff, nothing requires gradients; the mapper has the setting that `train` applies.
    let (_, _, mapper) = param.clone().consume();
    Param::from_mapped_value(ParamId::new(), param.val().detach().set_require_grad(tracked), mapper)
}

#[cfg(test)]
mod tests {
    use burn::nn::BatchNormConfig;
    use burn::tensor::{Device, Distribution, TensorData, Tolerance};

    use super::*;
    use crate::{TwinsModule, Wing};

    /// A batch norm whose running statistics have moved, and whose settings are not the defaults.
    fn trained(device: &Device) -> BatchNorm {
        let norm = BatchNormConfig::new(3).with_epsilon(0.25).with_momentum(0.3).init(device);
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

    /// Burn applies an update only with the next one, unless the thread that made it reads the value.
    #[test]
    fn the_last_batch_of_another_thread_is_included() {
        let device = Device::flex().autodiff();
        let norm = std::thread::scope(|scope| scope.spawn(|| trained(&device)).join().unwrap());
        let expected = norm.clone();
        let twins = TwinsBatchNorm::from(norm);
        let (found, expected) = (twins.valid(), expected.valid());
        assert_ne!(found.running_mean.value().into_data(), TensorData::from([0.0f32; 3]));
        for (found, expected) in
            [(found.running_mean, expected.running_mean), (found.running_var, expected.running_var)]
        {
            assert_eq!(found.value().into_data(), expected.value().into_data());
        }
    }

    /// The optimiser keeps its state by the ids of the parameters.
    #[test]
    fn the_wings_are_trained_separately() {
        let device = Device::flex().autodiff();
        let parameters = |norm: BatchNorm| {
            let twins = TwinsBatchNorm::from(norm);
            let [gamma, beta] = [twins.frozen_gamma, twins.frozen_beta].map(|param| param.expect("per wing"));
            [twins.gamma, gamma, twins.beta, beta]
        };
        let tracked = parameters(trained(&device));
        assert!(tracked.iter().all(|param| param.is_require_grad()));
        assert_ne!(tracked[0].id, tracked[1].id);
        assert_ne!(tracked[2].id, tracked[3].id);
        let untracked = parameters(trained(&device).no_grad());
        assert!(untracked.iter().all(|param| !param.is_require_grad()));
    }

    /// `train` applies the setting of a parameter that is not on a device with autodiff.
    #[test]
    fn a_batch_norm_without_autodiff_is_trained_in_both_wings() {
        let trains = |norm: BatchNorm| {
            let twins = TwinsBatchNorm::from(norm).train();
            let [gamma, beta] = [twins.frozen_gamma, twins.frozen_beta].map(|param| param.expect("per wing"));
            [twins.gamma, gamma, twins.beta, beta, twins.frozen_mean, twins.frozen_var]
                .map(|param| param.is_require_grad())
        };
        let affine = [true, true, true, true, false, false];
        assert_eq!(trains(BatchNormConfig::new(3).init(&Device::flex())), affine);
        let device = Device::flex().autodiff();
        assert_eq!(trains(trained(&device).valid()), affine);
        assert_eq!(trains(trained(&device).no_grad().valid()), [false; 6]);
    }

    #[test]
    fn train_selects_the_mode_of_the_batch_norm() {
        let device = Device::flex().autodiff();
        let modes = |norm: BatchNorm| {
            let twins = TwinsBatchNorm::from(norm);
            [twins.wing(), twins.train().wing()]
        };
        assert_eq!(modes(trained(&device)), [Wing::AdaptiveTraining; 2]);
        assert_eq!(modes(trained(&device).valid()), [Wing::Adaptive, Wing::AdaptiveTraining]);
        assert_eq!(modes(trained(&device).freeze().valid()), [Wing::Adaptive; 2]);
    }

    /// On maps so small that the layer composes Burn's operations: the statistics are then equal to the bit.
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
        assert_eq!((twins.epsilon, twins.momentum), (0.25, 0.3));
        assert_eq!(twins.running_mean.value().into_data(), stock.running_mean.value().into_data());
        assert_eq!(twins.running_var.value().into_data(), stock.running_var.value().into_data());
    }

    /// Forward, gradients and running statistics over three steps, then inference.
    fn assert_trains_alike<const D: usize>(dims: [usize; D]) {
        let device = Device::flex().autodiff();
        let stock = BatchNormConfig::new(dims[1]).init(&device);
        // Not from the stock layer itself: Burn shares running statistics between clones.
        let twins = TwinsBatchNorm::from(BatchNormConfig::new(dims[1]).init(&device));
        assert_eq!(twins.wing(), Wing::AdaptiveTraining);
        // Float rounding of values of order 1 in another order of operations; the gradient of y² is a difference of
        // values of order 10 that almost cancel.
        let close = |ours: Tensor<D>, theirs: Tensor<D>| {
            ours.into_data().assert_approx_eq::<f32>(&theirs.into_data(), Tolerance::absolute(1e-5));
        };
        device.seed(3);
        for _ in 0..3 {
            let input = Tensor::<D>::random(dims, Distribution::Normal(0.5, 1.0), &device);
            let [(ours, our_gradient), (theirs, their_gradient)] =
                [(&|x| twins.forward(x)) as &dyn Fn(Tensor<D>) -> Tensor<D>, &|x| stock.forward(x)].map(
                    |forward| {
                        let input = input.clone().require_grad();
                        let output = forward(input.clone());
                        let gradients = (output.clone() * output.clone()).sum().backward();
                        (output.inner(), input.grad(&gradients).expect("tracked"))
                    },
                );
            close(ours, theirs);
            close(our_gradient, their_gradient);
        }
        let (stock, twins) = (stock.valid(), twins.valid());
        let statistic = |left: Tensor<1>, right: Tensor<1>| {
            left.into_data().assert_approx_eq::<f32>(&right.into_data(), Tolerance::absolute(1e-6));
        };
        statistic(twins.running_mean.value(), stock.running_mean.value());
        statistic(twins.running_var.value(), stock.running_var.value());
        let input = Tensor::<D>::random(dims, Distribution::Normal(0.5, 1.0), &Device::flex());
        close(twins.forward(input.clone()), stock.forward(input.clone()));
        close(BatchNorm::from(twins.clone()).forward(input.clone()), twins.forward(input));
    }

    #[test]
    fn trains_as_the_batch_norm_does_in_every_rank() {
        assert_trains_alike([6, 3]);
        assert_trains_alike([6, 3, 40]);
        assert_trains_alike([6, 3, 5]);
        assert_trains_alike([6, 3, 5, 6]);
        assert_trains_alike([6, 3, 2, 2]);
        assert_trains_alike([4, 3, 2, 4, 5]);
    }
}
