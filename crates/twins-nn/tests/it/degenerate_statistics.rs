//! Channels without variance: outputs and gradients stay finite in both wings, because epsilon is under the square root.

use burn::module::RunningState;
use burn::tensor::{Device, Tensor, TensorData};
use twins_nn::{TwinsBatchNorm, TwinsBatchNormConfig, TwinsModule, Wing};

/// Output and input gradient of the sum of the first half and twice the second half of the outputs.
fn pass(norm: &TwinsBatchNorm, input: Vec<f32>) -> [Vec<f32>; 2] {
    let device = Device::flex().autodiff();
    let count = input.len();
    let images =
        |values: Vec<f32>| Tensor::<4>::from_data(TensorData::new(values, [count / 16, 1, 4, 4]), &device);
    let weights = (0..count).map(|place| if 2 * place < count { 1.0 } else { 2.0 }).collect();
    let input = images(input).require_grad();
    let output = norm.forward(input.clone());
    let gradients = (output.clone() * images(weights)).sum().backward();
    let gradient = input.grad(&gradients).unwrap();
    [output.inner(), gradient].map(|tensor| tensor.try_into_vec_as::<f32>().unwrap())
}

fn layer(wing: Wing) -> TwinsBatchNorm {
    TwinsBatchNormConfig::new(1).init(&Device::flex().autodiff()).with_wing(wing)
}

/// 1 / sqrt(epsilon).
const SLOPE: f32 = 316.227_77;

/// Within some roundings of terms of this size.
fn close(found: f32, expected: f32, size: f32) {
    assert!((found - expected).abs() <= 1e-6 * size, "{found}, not {expected}");
}

#[test]
fn a_batch_without_variance_is_normalised_to_beta() {
    // Sums of these values are exact in any order, also where their squares overflow or underflow.
    for value in [0.0, 0.25, -3.0, 2.0_f32.powi(100), -(2.0_f32.powi(100)), 2.0_f32.powi(-100)] {
        let [output, gradient] = pass(&layer(Wing::AdaptiveTraining), vec![value; 4 * 16]);
        assert!(output.iter().all(|y| *y == 0.0), "{value}: {output:?}");
        // The weights are 1 and 2, with mean 1.5.
        gradient[..32].iter().for_each(|g| close(*g, -0.5 * SLOPE, 2.0 * SLOPE));
        gradient[32..].iter().for_each(|g| close(*g, 0.5 * SLOPE, 2.0 * SLOPE));

        let [output, gradient] = pass(&layer(Wing::Split), vec![value; 4 * 16]);
        // The frozen wing has mean 0 and variance 1, and sqrt(1 + 1e-5) is 1.000005. All weights of the adaptive wing are
        // equal, so nothing is left of its gradient.
        output[..32].iter().for_each(|y| close(*y, value / 1.000_005, value.abs()));
        assert!(output[32..].iter().all(|y| *y == 0.0), "{value}: {output:?}");
        gradient[..32].iter().for_each(|g| close(*g, 1.0 / 1.000_005, 1.0));
        gradient[32..].iter().for_each(|g| close(*g, 0.0, 2.0 * SLOPE));
    }
}

#[test]
fn statistics_of_a_population_without_variance_are_usable() {
    let device = Device::flex().autodiff();
    let statistic = |value: f32| Tensor::<1>::from_floats([value], &device);
    let mut adaptive = layer(Wing::Adaptive);
    adaptive.running_mean = RunningState::new(statistic(0.5));
    adaptive.running_var = RunningState::new(statistic(0.0));
    let frozen = adaptive.clone().copy_adaptive_to_frozen().with_wing(Wing::Frozen);
    for norm in [adaptive, frozen] {
        let values = (0..32).map(|place| if place % 2 == 0 { 0.5 } else { 1.0 }).collect();
        let [output, gradient] = pass(&norm, values);
        for (place, (y, g)) in output.into_iter().zip(gradient).enumerate() {
            close(y, if place % 2 == 0 { 0.0 } else { 0.5 * SLOPE }, SLOPE);
            close(g, if place < 16 { SLOPE } else { 2.0 * SLOPE }, 2.0 * SLOPE);
        }
        assert!(norm.check_statistics().is_ok());
    }
}
