//! The two-wing layer in single precision, on every device of `TWINS_DEVICES`, against double precision: batches and feature
//! maps that the devices' own kernels cut into parts of different kinds.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_twins::nn::{TwinsBatchNorm, TwinsBatchNormConfig, TwinsModule, Wing};

/// Small maps, one channel, many channels, an odd batch, maps longer than what one group of threads reduces, and more
/// samples than one such group takes.
const SHAPES: [[usize; 4]; 8] = [
    [2, 3, 4, 4],
    [5, 7, 7, 7],
    [4, 1, 5, 9],
    [3, 300, 4, 4],
    [33, 17, 16, 16],
    [3, 2, 80, 80],
    [2, 2, 1, 9000],
    [600, 2, 4, 4],
];

/// A few rounded operations on values of order 1, and single-precision sums of some dozens of those at a time.
const TOLERANCE: f64 = 4e-6;

#[test]
fn every_shape_agrees_with_double_precision() {
    for shape in SHAPES {
        agrees(shape, &[Wing::Adaptive, Wing::AdaptiveTraining, Wing::Frozen, Wing::Split]);
    }
}

/// A GPU's launch has at most 65 535 groups of threads along a dimension.
#[test]
fn more_channels_than_groups_of_threads() {
    agrees([2, 66_000, 4, 4], &[Wing::Split]);
}

fn agrees(shape: [usize; 4], wings: &[Wing]) {
    for (choice, device) in burn_twins_tests::devices() {
        for &wing in wings {
            for relu in [false, true] {
                let single = run(&device, DType::F32, shape, wing, relu);
                let double = run(&Device::flex(), DType::F64, shape, wing, relu);
                for ((name, found), (_, expected)) in single.iter().zip(&double) {
                    let case = format!("{choice}, {shape:?}, {wing:?}, relu {relu}, {name}");
                    // Sums of products of either sign: of what is added up, most cancels.
                    let terms = (shape[0] * shape[2] * shape[3]) as f64;
                    let size = if name.ends_with("a's gradient") { terms.sqrt() } else { 1.0 };
                    assert_close(&case, found, expected, size);
                }
            }
        }
    }
}

/// Output, gradients of the input and of gammas and betas, and the running statistics afterwards.
fn run(
    device: &Device,
    dtype: DType,
    shape: [usize; 4],
    wing: Wing,
    relu: bool,
) -> Vec<(&'static str, Vec<f64>)> {
    let device = device.clone().autodiff();
    // Between `offset - 1` and `offset + 1`, rounded to single precision, so that both compute with the same numbers.
    let tensor = |n: usize, seed: f64, offset: f64| {
        let value = |i| ((i as f64 * 0.618_033_988 + seed).fract() * 2.0 - 1.0 + offset) as f32;
        let values: Vec<f32> = (0..n).map(value).collect();
        Tensor::<1>::from_data(TensorData::from(values.as_slice()), &device).cast(dtype).detach()
    };
    let size = shape.iter().product();
    let input = tensor(size, 0.1, 0.3).reshape(shape).detach().require_grad();
    let gradient = tensor(size, 0.7, 0.0).reshape(shape);
    let mut norm = TwinsBatchNormConfig::new(shape[1]).init(&device);
    norm.gamma = Param::from_tensor(tensor(shape[1], 0.2, 1.5));
    norm.beta = Param::from_tensor(tensor(shape[1], 0.3, 0.0));
    norm.frozen_gamma = Some(Param::from_tensor(tensor(shape[1], 0.4, -1.5)));
    norm.frozen_mean = Param::from_tensor(tensor(shape[1], 0.5, 0.0)).set_require_grad(false);
    norm.frozen_var = Param::from_tensor(tensor(shape[1], 0.6, 1.5)).set_require_grad(false);
    let norm: TwinsBatchNorm = norm.map(&mut Cast(dtype)).with_wing(wing);

    let output = if relu { norm.forward_relu(input.clone()) } else { norm.forward(input.clone()) };
    let gradients = (output.clone() * gradient).sum().backward();
    let of = |param: Option<&Param<Tensor<1>>>| match param.and_then(|param| param.val().grad(&gradients)) {
        Some(gradient) => read(gradient),
        None => Vec::new(),
    };
    let mut results = vec![
        ("output", read(output.inner())),
        ("input's gradient", read(input.grad(&gradients).unwrap())),
        ("gamma's gradient", of(Some(&norm.gamma))),
        ("beta's gradient", of(Some(&norm.beta))),
        ("frozen gamma's gradient", of(norm.frozen_gamma.as_ref())),
        ("frozen beta's gradient", of(norm.frozen_beta.as_ref())),
    ];
    let after = norm.valid();
    results.push(("running mean", read(after.running_mean.value())));
    results.push(("running variance", read(after.running_var.value())));
    results
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert_dtype(DType::F64).try_into_vec().unwrap()
}

fn assert_close(case: &str, found: &[f64], expected: &[f64], size: f64) {
    assert_eq!(found.len(), expected.len(), "{case}");
    let largest = expected.iter().fold(size, |largest, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / largest;
        assert!(error <= TOLERANCE, "{case}, {index}: {found}, not {expected}");
    }
}

struct Cast(DType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| {
            let tracked = tensor.is_require_grad();
            tensor.cast(self.0).detach().set_require_grad(tracked)
        })
    }
}
