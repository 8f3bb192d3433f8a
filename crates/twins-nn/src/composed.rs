//! The wings composed of Burn's own operations, for every backend, precision and shape.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module::{batch_norm, batch_norm_train};

use crate::wings::{Activation, BatchWing, FixedWing, Normalised, Wings};

pub(crate) fn two_wing_norm<const D: usize>(
    input: Tensor<D>,
    residual: Option<Tensor<D>>,
    wings: Wings,
    epsilon: f64,
    activation: Activation,
) -> Normalised<D> {
    let normalised = match wings {
        Wings::Fixed(wing) => Normalised { output: fixed(input, wing, epsilon), moments: None },
        Wings::Batch(wing) => batch(input, wing, epsilon),
        Wings::Split(first, second) => {
            let samples = input.dims()[0];
            let half = samples / 2;
            let frozen = fixed(input.clone().narrow(0, 0, half), first, epsilon);
            let adaptive = batch(input.narrow(0, half, samples - half), second, epsilon);
            Normalised { output: Tensor::cat(vec![frozen, adaptive.output], 0), moments: adaptive.moments }
        }
    };
    finish(normalised, residual, activation)
}

/// Adds the residual and applies the activation.
pub(crate) fn finish<const D: usize>(
    normalised: Normalised<D>,
    residual: Option<Tensor<D>>,
    activation: Activation,
) -> Normalised<D> {
    let Normalised { mut output, moments } = normalised;
    if let Some(residual) = residual {
        output = output + residual;
    }
    if activation == Activation::Relu {
        output = relu(output);
    }
    Normalised { output, moments }
}

fn fixed<const D: usize>(input: Tensor<D>, wing: FixedWing, epsilon: f64) -> Tensor<D> {
    batch_norm(input, wing.gamma, wing.beta, wing.mean, wing.variance, epsilon)
}

fn batch<const D: usize>(input: Tensor<D>, wing: BatchWing, epsilon: f64) -> Normalised<D> {
    let normalised = batch_norm_train(input, wing.gamma, wing.beta, epsilon);
    Normalised { output: normalised.output, moments: Some([normalised.mean, normalised.variance]) }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;

    /// Input `[5, 2, 3]`, then gamma, beta of the fixed wing, gamma, beta of the batch wing.
    const SIZES: [usize; 5] = [30, 2, 2, 2, 2];

    /// Σ weight · output in double precision as a function of all differentiable values, with their gradients.
    fn objective(which: &str, activation: Activation, values: &[f64]) -> (f64, Vec<f64>) {
        let device = Device::flex().autodiff();
        let tensor = |v: &[f64]| Tensor::<1>::from_data(TensorData::from(v), (&device, DType::F64));
        let mut rest = values;
        let leaves = SIZES.map(|size| {
            let (head, tail) = rest.split_at(size);
            rest = tail;
            tensor(head).require_grad()
        });
        let [input, gamma_f, beta_f, gamma, beta] = leaves.clone();
        let fixed = FixedWing {
            gamma: gamma_f,
            beta: beta_f,
            mean: tensor(&[0.3, -0.2]),
            variance: tensor(&[0.8, 1.7]),
        };
        let batch = BatchWing { gamma, beta };
        let wings = match which {
            "fixed" => Wings::Fixed(fixed),
            "batch" => Wings::Batch(batch),
            _ => Wings::Split(fixed, batch),
        };
        let output = two_wing_norm(input.reshape([5, 2, 3]), None, wings, 1e-3, activation).output;
        let weight: Vec<f64> = (0..30).map(|i| ((i * 7 % 11) as f64 - 5.0) / 4.0).collect();
        let sum = (output * tensor(&weight).reshape([5, 2, 3])).sum();
        let gradients = sum.backward();
        let read = |t: Tensor<1>| t.into_data().try_into_vec::<f64>().expect("double precision");
        let flat = leaves.iter().zip(SIZES).flat_map(|(leaf, size)| {
            // A wing that takes no part has no gradient.
            leaf.grad(&gradients).map_or(vec![0.0; size], read)
        });
        (read(sum.inner())[0], flat.collect())
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let values: Vec<f64> =
            (0..SIZES.iter().sum::<usize>()).map(|i| ((i * 29 % 37) as f64 - 18.0) / 13.0 + 0.01).collect();
        for which in ["fixed", "batch", "split"] {
            for activation in [Activation::Identity, Activation::Relu] {
                let (_, gradient) = objective(which, activation, &values);
                for (i, &analytic) in gradient.iter().enumerate() {
                    let at = |step: f64| {
                        let mut moved = values.clone();
                        moved[i] += step;
                        objective(which, activation, &moved).0
                    };
                    const STEP: f64 = 1e-5;
                    let numeric = (at(STEP) - at(-STEP)) / (2.0 * STEP);
                    // The central difference is off by its third derivative times the step squared (1e-10), and by
                    // the sum's rounding (1e-15) divided by the step.
                    assert!(
                        (numeric - analytic).abs() < 1e-7,
                        "{which}, {activation:?}, {i}: {analytic}, not {numeric}"
                    );
                }
            }
        }
    }
}
