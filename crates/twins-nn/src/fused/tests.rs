//! The fused operation against the composed one in double precision.

use burn::tensor::{DType, Device, Tensor, TensorData};
use proptest::prelude::*;

use super::*;
use crate::composed;

const EPSILON: f64 = 1e-5;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Case {
    Fixed,
    Batch,
    Split,
}

/// A result, and the size of the terms it is a sum of: where they cancel, rounding errors are
/// small against the terms, not against the result.
#[derive(Debug, Clone, PartialEq)]
struct Values {
    name: &'static str,
    values: Vec<f64>,
    size: f64,
}

struct Problem {
    dims: Vec<usize>,
    input: Vec<f64>,
    gradient: Vec<f64>,
    /// Added before the activation, where there is one.
    residual: Option<Vec<f64>>,
    /// Gamma, beta, mean, variance, gamma, beta.
    channels: [Vec<f64>; 6],
    /// Whether a pixel's channels stand side by side: the tensors are views then.
    channels_last: bool,
}

impl Problem {
    fn new(dims: &[usize], seed: u64, offset: f64) -> Self {
        // A small generator of our own keeps the case a function of the seed alone.
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Rounded to single precision, so that both sides compute with the same numbers.
            f64::from((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
        };
        let values = dims.iter().product();
        let mut take =
            |n: usize, shift: f64| (0..n).map(|_| f64::from((draw() + shift) as f32)).collect::<Vec<_>>();
        let input = take(values, offset);
        let gradient = take(values, 0.0);
        let channels = [2.0, 0.0, offset, 1.5, 2.0, 0.0].map(|shift| take(dims[1], shift));
        Self { dims: dims.to_vec(), input, gradient, residual: None, channels, channels_last: false }
    }

    fn with_channels_last(self) -> Self {
        Self { channels_last: true, ..self }
    }

    /// Adds what is a function of the input.
    fn with_residual(self) -> Self {
        let residual = self.input.iter().rev().map(|value| f64::from((0.7 * value - 0.1) as f32)).collect();
        Self { residual: Some(residual), ..self }
    }

    fn run(&self, case: Case, activation: Activation, dtype: DType) -> Vec<Values> {
        let device = Device::flex().autodiff();
        let tensor = |values: &[f64]| Tensor::<1>::from_data(TensorData::from(values), (&device, dtype));
        let dims: [usize; 4] = self.dims.as_slice().try_into().expect("four axes");
        let leaf = |values: &[f64]| tensor(values).detach().require_grad();
        let [samples, channels, height, width] = dims;
        let seen = |leaf: Tensor<1>| match self.channels_last {
            true => leaf.reshape([samples, height, width, channels]).permute([0, 3, 1, 2]),
            false => leaf.reshape(dims),
        };
        let input = leaf(&self.input);
        let residual = self.residual.as_deref().map(leaf);
        let [gamma_f, beta_f, mean, variance, gamma, beta] = &self.channels;
        let [gamma_f, beta_f, gamma, beta] = [gamma_f, beta_f, gamma, beta].map(|v| tensor(v).require_grad());
        let fixed = || FixedWing {
            gamma: gamma_f.clone(),
            beta: beta_f.clone(),
            mean: tensor(mean),
            variance: tensor(variance),
        };
        let batch = || BatchWing { gamma: gamma.clone(), beta: beta.clone() };
        let wings = match case {
            Case::Fixed => Wings::Fixed(fixed()),
            Case::Batch => Wings::Batch(batch()),
            Case::Split => Wings::Split(fixed(), batch()),
        };
        let op = if dtype == DType::F32 { two_wing_norm::<4> } else { composed::two_wing_norm::<4> };
        let Normalised { output, moments } =
            op(seen(input.clone()), residual.clone().map(seen), wings, EPSILON, activation);
        let gradients = (output.clone() * seen(tensor(&self.gradient))).sum().backward();
        let read = |data: TensorData| data.convert_dtype(DType::F64).try_into_vec::<f64>().expect("floats");
        let values = |name, tensor, size| Values { name, values: read(tensor), size };
        let mut all = vec![
            values("output", output.into_data(), 1.0),
            values("input", input.grad(&gradients).expect("tracked").into_data(), 1.0),
        ];
        all.extend(
            residual.map(|r| values("residual", r.grad(&gradients).expect("tracked").into_data(), 1.0)),
        );
        all.extend(moments.into_iter().flatten().map(|t| values("moment", t.into_data(), 1.0)));
        // Sums of many products of either sign.
        let terms = (self.input.len() / self.dims[1]) as f64;
        let affine = [gamma_f, beta_f, gamma, beta].map(|t| t.grad(&gradients));
        all.extend(affine.into_iter().flatten().map(|t| values("affine", t.into_data(), terms.sqrt())));
        all
    }
}

fn assert_close(ours: &[Values], exact: &[Values], tolerance: f64) {
    assert_eq!(ours.len(), exact.len());
    for (ours, exact) in ours.iter().zip(exact) {
        assert_eq!(ours.values.len(), exact.values.len(), "{}", ours.name);
        let largest = exact.values.iter().fold(exact.size, |largest, v| largest.max(v.abs()));
        for (found, expected) in ours.values.iter().zip(&exact.values) {
            assert!(
                (found - expected).abs() <= tolerance * largest,
                "{}: {found}, not {expected}",
                ours.name
            );
        }
    }
}

fn cases() -> impl Strategy<Value = Case> {
    prop_oneof![Just(Case::Fixed), Just(Case::Batch), Just(Case::Split)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn agrees_with_double_precision(
        samples in 2usize..12,
        channels in 1usize..20,
        height in 4usize..40,
        width in 4usize..40,
        case in cases(),
        relu in any::<bool>(),
        channels_last in any::<bool>(),
        has_residual in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut problem = Problem::new(&[samples, channels, height, width], seed, 0.3);
        if has_residual {
            problem = problem.with_residual();
        }
        problem.channels_last = channels_last;
        let activation = if relu { Activation::Relu } else { Activation::Identity };
        let (ours, exact) =
            (problem.run(case, activation, DType::F32), problem.run(case, activation, DType::F64));
        if relu && ours[0].values.iter().zip(&exact[0].values).any(|(a, b)| (*a == 0.0) != (*b == 0.0)) {
            // Rounding decided on which side of the kink a value lies: the gradients may differ there.
            assert_close(&ours[..1], &exact[..1], 4e-6);
            return Ok(());
        }
        // A few rounded operations on values of order 1, and single-precision sums of 64 such.
        assert_close(&ours, &exact, 4e-6);
    }
}

/// In both orders of the values.
fn problems(dims: [usize; 4], seed: u64, offset: f64) -> [Problem; 2] {
    [Problem::new(&dims, seed, offset), Problem::new(&dims, seed, offset).with_channels_last()]
}

/// More values than one job, so that the threads' part of every loop runs.
#[test]
fn many_planes() {
    for problem in problems([33, 17, 16, 16], 7, 0.3) {
        for case in [Case::Fixed, Case::Batch, Case::Split] {
            let [ours, exact] =
                [DType::F32, DType::F64].map(|dtype| problem.run(case, Activation::Identity, dtype));
            assert_close(&ours, &exact, 4e-6);
        }
    }
}

#[test]
fn the_same_bits_whatever_the_number_of_threads() {
    for problem in problems([33, 17, 16, 16], 8, 0.3).map(Problem::with_residual) {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| problem.run(Case::Split, Activation::Relu, DType::F32))
        };
        assert_eq!(run(1), run(3));
    }
}

#[test]
fn values_far_from_their_spread() {
    for problem in problems([6, 2, 8, 8], 3, 1000.0) {
        let [ours, exact] =
            [DType::F32, DType::F64].map(|dtype| problem.run(Case::Split, Activation::Identity, dtype));
        // The values themselves are multiples of 6e-5, which no rounding of the mean adds to.
        assert_close(&ours, &exact, 4e-6);
    }
}

/// Variances of 1e60 are beyond single precision; the normalised values are not.
#[test]
fn values_whose_squares_overflow() {
    for problem in problems([4, 2, 4, 4], 5, 0.0) {
        let input = problem.input.iter().map(|v| f64::from((v * 1e30) as f32)).collect();
        let huge = Problem { input, ..problem };
        let [ours, exact] =
            [DType::F32, DType::F64].map(|dtype| huge.run(Case::Batch, Activation::Identity, dtype));
        assert_close(&ours[..1], &exact[..1], 4e-6);
        // The input's gradient is of order 1e-30.
        let scaled = |v: &Values| Values { values: v.values.iter().map(|v| v * 1e30).collect(), ..v.clone() };
        assert_close(&[scaled(&ours[1])], &[scaled(&exact[1])], 4e-6);
    }
}

#[test]
fn nan_stays_in_its_channel() {
    for mut problem in problems([2, 2, 4, 4], 5, 0.0) {
        problem.input[0] = f64::NAN;
        // Read channels first, whatever the order in memory.
        let output = problem.run(Case::Batch, Activation::Relu, DType::F32).remove(0).values;
        let channel = |sample: usize, channel: usize| &output[(sample * 2 + channel) * 16..][..16];
        assert!([0, 1].iter().all(|&sample| channel(sample, 0).iter().all(|v| v.is_nan())));
        assert!([0, 1].iter().all(|&sample| channel(sample, 1).iter().all(|v| v.is_finite())));
    }
}

/// An input that somebody else still holds, and one that is a view, must not be written to.
#[test]
fn inputs_are_left_alone() {
    let device = Device::flex();
    let values = Tensor::<4>::from_data(TensorData::from([[[[1.0f32; 4]; 4]; 2]; 6]), &device);
    let wing = || FixedWing {
        gamma: Tensor::full([2], 2.0, &device),
        beta: Tensor::full([2], 1.0, &device),
        mean: Tensor::zeros([2], &device),
        variance: Tensor::ones([2], &device),
    };
    let run = |x: Tensor<4>| {
        two_wing_norm(x, None, Wings::Fixed(wing()), 0.0, Activation::Identity).output.into_data()
    };
    let expected = TensorData::from([[[[3.0f32; 4]; 4]; 2]; 6]);
    assert_eq!(run(values.clone()), expected);
    assert_eq!(run(values.clone().swap_dims(2, 3)), expected);
    let last = Tensor::<4>::ones([6, 4, 4, 2], &device).permute([0, 3, 1, 2]);
    assert_eq!(run(last.clone()), expected);
    assert_eq!(last.into_data(), values.to_data());
    assert_eq!(run(values.clone().narrow(0, 1, 2)), TensorData::from([[[[3.0f32; 4]; 4]; 2]; 2]));
    assert_eq!(values.into_data(), TensorData::from([[[[1.0f32; 4]; 4]; 2]; 6]));
}

/// Only the input of an attack has a gradient. With y = (x − 1) / 2 · 3 − 3, ReLU is open above 3.
#[test]
fn gradient_of_an_attack() {
    let device = Device::flex().autodiff();
    let vector = |value: f32| Tensor::<1>::full([1], value, &device);
    let pixels: Vec<f32> = (0..16).map(|x| x as f32).collect();
    let gradient = |activation| {
        let x = Tensor::<4>::from_data(TensorData::new(pixels.clone(), [1, 1, 4, 4]), &device).require_grad();
        let wing =
            FixedWing { gamma: vector(3.0), beta: vector(-3.0), mean: vector(1.0), variance: vector(4.0) };
        let output = two_wing_norm(x.clone(), None, Wings::Fixed(wing), 0.0, activation).output;
        x.grad(&output.sum().backward()).expect("tracked").into_data()
    };
    let expected =
        |of: fn(&f32) -> f32| TensorData::new(pixels.iter().map(of).collect::<Vec<_>>(), [1, 1, 4, 4]);
    assert_eq!(gradient(Activation::Identity), expected(|_| 1.5));
    assert_eq!(gradient(Activation::Relu), expected(|&x| if x > 3.0 { 1.5 } else { 0.0 }));
}

/// Inputs that are kept until the backward pass take most of the memory.
#[test]
fn inputs_are_kept_only_for_gradients_that_depend_on_them() {
    let attack = backend::Wanted { input: true, residual: false, fixed: false, batch: false };
    assert!(!attack.needs_input(false, Activation::Identity));
    assert!(attack.needs_input(false, Activation::Relu));
    assert!(attack.needs_input(true, Activation::Identity));
    assert!(backend::Wanted { fixed: true, ..attack }.needs_input(false, Activation::Identity));
}

#[test]
fn covers_what_it_can_compute() {
    fn of<const D: usize>(dims: [usize; D], device: &Device, maps: DType, parameters: DType) -> bool {
        let vector = || Tensor::<1>::ones([1], (device, parameters));
        covers(
            &Tensor::<D>::zeros(dims, (device, maps)),
            &Wings::Batch(BatchWing { gamma: vector(), beta: vector() }),
        )
    }
    let device = Device::flex();
    assert!(of([2, 1, 4, 4], &device, DType::F32, DType::F32));
    assert!(of([2, 1, 16], &device.clone().autodiff(), DType::F32, DType::F32));
    assert!(!of([2, 1], &device, DType::F32, DType::F32), "planes of one value");
    assert!(!of([2, 1, 4, 4], &device, DType::F64, DType::F64));
    assert!(!of([2, 1, 4, 4], &device, DType::BF16, DType::F32));
    assert!(takes_residuals(&Tensor::<4>::zeros([2, 1, 4, 4], &device)));
    assert!(!takes_residuals(&Tensor::<3>::zeros([2, 1, 16], &device)));
}
