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

/// What is computed in single precision and rounded to half precision twice, on the way in and on the way out of a pass.
const HALF_TOLERANCE: f64 = 2e-3;

/// What follows the normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Plain,
    Relu,
    AddRelu,
}

const ENDS: [End; 3] = [End::Plain, End::Relu, End::AddRelu];
const WINGS: [Wing; 4] = [Wing::Adaptive, Wing::AdaptiveTraining, Wing::Frozen, Wing::Split];

#[test]
fn every_shape_agrees_with_double_precision() {
    for shape in SHAPES {
        agrees(shape, &WINGS);
    }
}

/// A GPU's launch has at most 65 535 groups of threads along a dimension.
#[test]
fn more_channels_than_groups_of_threads() {
    agrees([2, 66_000, 4, 4], &[Wing::Split]);
}

#[test]
fn an_empty_batch_stays_empty_on_a_gpu() {
    for (choice, device) in burn_twins_tests::devices().into_iter().filter(|(choice, _)| !choice.is_cpu()) {
        let norm = TwinsBatchNormConfig::new(3).init(&device);
        for wing in [Wing::Adaptive, Wing::Frozen] {
            let output = norm.clone().with_wing(wing).forward(Tensor::<4>::zeros([0, 3, 4, 4], &device));
            assert_eq!(output.dims(), [0, 3, 4, 4], "{choice}, {wing:?}");
        }
    }
}

/// Feature maps in half precision between layers that keep their parameters and statistics in single precision.
#[test]
fn half_precision_has_sums_in_single_precision() {
    let shapes = [[5, 7, 7, 7], [33, 17, 16, 16], [600, 2, 4, 4]];
    for (choice, device) in burn_twins_tests::devices() {
        for half in [DType::F16, DType::BF16].into_iter().filter(|half| device.supports_dtype(*half)) {
            let unit = if half == DType::F16 { 1.0 } else { 8.0 };
            for (shape, wing, end) in all_of(&shapes) {
                let run = |device: &Device, dtypes| run(device, dtypes, half, shape, wing, end);
                let exact = run(&Device::flex(), [DType::F64; 2]);
                let found = run(&device, [half, DType::F32]);
                compare(
                    &format!("{choice}, {half:?}, {shape:?}, {wing:?}, {end:?}"),
                    shape,
                    &found,
                    &exact,
                    unit * HALF_TOLERANCE,
                );
            }
        }
    }
}

/// What an attack asks for: the input's gradient alone, through a model in its inference form.
#[test]
fn the_inputs_gradient_alone_agrees() {
    for (choice, device) in burn_twins_tests::devices() {
        for (shape, _, end) in all_of(&SHAPES) {
            let gradient = |device: &Device, dtype: DType| {
                let (norm, input, residual, cotangent) = problem(device, [dtype; 2], DType::F32, shape);
                let output = apply(&norm.valid(), input.clone(), residual, end);
                let gradients = (output * cotangent).sum().backward();
                read(input.grad(&gradients).unwrap())
            };
            let (found, expected) = (gradient(&device, DType::F32), gradient(&Device::flex(), DType::F64));
            assert_close(&format!("{choice}, {shape:?}, {end:?}"), &found, &expected, 1.0, TOLERANCE);
        }
    }
}

fn all_of(shapes: &[[usize; 4]]) -> impl Iterator<Item = ([usize; 4], Wing, End)> {
    let cases =
        |shape: [usize; 4]| WINGS.into_iter().flat_map(move |wing| ENDS.map(|end| (shape, wing, end)));
    shapes.iter().copied().flat_map(cases)
}

fn agrees(shape: [usize; 4], wings: &[Wing]) {
    for (choice, device) in burn_twins_tests::devices() {
        for (shape, wing, end) in all_of(&[shape]).filter(|(_, wing, _)| wings.contains(wing)) {
            let single = run(&device, [DType::F32; 2], DType::F32, shape, wing, end);
            let double = run(&Device::flex(), [DType::F64; 2], DType::F32, shape, wing, end);
            compare(&format!("{choice}, {shape:?}, {wing:?}, {end:?}"), shape, &single, &double, TOLERANCE);
        }
    }
}

fn compare(case: &str, shape: [usize; 4], found: &[Result], expected: &[Result], tolerance: f64) {
    for ((name, found), (_, expected)) in found.iter().zip(expected) {
        // Sums of products of either sign: of what is added up, most cancels.
        let terms = (shape[0] * shape[2] * shape[3]) as f64;
        let size = if name.ends_with("a's gradient") { terms.sqrt() } else { 1.0 };
        assert_close(&format!("{case}, {name}"), found, expected, size, tolerance);
    }
}

type Result = (&'static str, Vec<f64>);

/// A layer, an input, a residual and the gradient of the output, in the precisions of feature maps and of parameters. The values are rounded
/// to `rounding` first, so that two problems in other precisions have the same.
fn problem(
    device: &Device,
    [maps, parameters]: [DType; 2],
    rounding: DType,
    shape: [usize; 4],
) -> (TwinsBatchNorm, Tensor<4>, Tensor<4>, Tensor<4>) {
    let device = device.clone().autodiff();
    // Between `offset - 1` and `offset + 1`.
    let tensor = |n: usize, seed: f64, offset: f64, rounding: DType, dtype: DType| {
        let value = |i| ((i as f64 * 0.618_033_988 + seed).fract() * 2.0 - 1.0 + offset) as f32;
        let values: Vec<f32> = (0..n).map(value).collect();
        let values = TensorData::from(values.as_slice()).convert_dtype(rounding).convert_dtype(DType::F32);
        Tensor::<1>::from_data(values, &device).cast(dtype).detach()
    };
    let size = shape.iter().product();
    let map = |seed, offset| tensor(size, seed, offset, rounding, maps).reshape(shape).detach();
    let vector = |seed, offset| Param::from_tensor(tensor(shape[1], seed, offset, DType::F32, DType::F32));
    let mut norm = TwinsBatchNormConfig::new(shape[1]).init(&device);
    norm.gamma = vector(0.2, 1.5);
    norm.beta = vector(0.3, 0.0);
    norm.frozen_gamma = Some(vector(0.4, -1.5));
    norm.frozen_mean = vector(0.5, 0.0).set_require_grad(false);
    norm.frozen_var = vector(0.6, 1.5).set_require_grad(false);
    let norm = norm.map(&mut Cast(parameters));
    (norm, map(0.1, 0.3).require_grad(), map(0.9, -0.2).require_grad(), map(0.7, 0.0))
}

fn apply(norm: &TwinsBatchNorm, input: Tensor<4>, residual: Tensor<4>, end: End) -> Tensor<4> {
    match end {
        End::Plain => norm.forward(input),
        End::Relu => norm.forward_relu(input),
        End::AddRelu => norm.forward_add_relu(input, residual),
    }
}

/// Output, gradients of the input, of the residual, and of gammas and betas, and the running statistics afterwards.
fn run(
    device: &Device,
    dtypes: [DType; 2],
    rounding: DType,
    shape: [usize; 4],
    wing: Wing,
    end: End,
) -> Vec<Result> {
    let (norm, input, residual, cotangent) = problem(device, dtypes, rounding, shape);
    let norm = norm.with_wing(wing);
    let output = apply(&norm, input.clone(), residual.clone(), end);
    assert_eq!(output.dtype(), dtypes[0]);
    let gradients = (output.clone() * cotangent).sum().backward();
    let of = |param: Option<&Param<Tensor<1>>>| match param.and_then(|param| param.val().grad(&gradients)) {
        Some(gradient) => read(gradient),
        None => Vec::new(),
    };
    let mut results = vec![
        ("output", read(output.inner())),
        ("input's gradient", read(input.grad(&gradients).unwrap())),
        ("residual's gradient", residual.grad(&gradients).map_or(Vec::new(), read)),
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

fn assert_close(case: &str, found: &[f64], expected: &[f64], size: f64, tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{case}");
    let largest = expected.iter().fold(size, |largest, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / largest;
        assert!(error <= tolerance, "{case}, {index}: {found}, not {expected}");
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
