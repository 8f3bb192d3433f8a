//! The two-wing layer against PyTorch 2.6, forward, backward and running statistics, on every device of
//! `TWINS_DEVICES`; see `tests/golden/layer/README.md`.

use std::collections::HashMap;

use burn::module::{Module, Param, RunningState};
use burn::tensor::{DType, Device, Tensor, TensorData, Tolerance};
use burn_twins::nn::{Affine, TwinsBatchNorm, TwinsBatchNormConfig, TwinsModule, Wing};
use safetensors::SafeTensors;

/// Relative to the largest absolute value of the expected tensor: float32 sums of up to 1 000 values in another order.
const TOLERANCE: f32 = 1e-5;

/// For the channel whose values lie around 1 000 with deviation 1.7: one unit in the last place of such a value is
/// 6e-5, and PyTorch folds the mean into the shift, which rounds at that size.
const OFFSET_TOLERANCE: f32 = 2e-4;

/// For the channel of equal values 0.7: what rounding leaves of its deviations (6e-8) is divided by sqrt(epsilon).
const CONSTANT_TOLERANCE: f32 = 4e-5;

const SHAPES: [&str; 13] = [
    "even",
    "odd",
    "two",
    "three",
    "rank2",
    "rank3",
    "rank5",
    "small_planes",
    "wide",
    "constant",
    "offset",
    "huge",
    "tiny",
];

const WINGS: [(&str, Wing); 5] = [
    ("adaptive", Wing::Adaptive),
    ("adaptive_training", Wing::AdaptiveTraining),
    ("frozen", Wing::Frozen),
    ("split", Wing::Split),
    ("split_shared", Wing::Split),
];

struct Golden {
    tensors: HashMap<String, TensorData>,
    momentum: f64,
    epsilon: f64,
    steps: usize,
    worst: (f32, String),
}

impl Golden {
    fn read() -> Self {
        let file = twins_testing::repository().join("tests/golden/layer/layer.safetensors");
        let bytes = std::fs::read(file).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let settings = header.metadata().clone().unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = tensors.iter().map(|(name, view)| {
            let words = view.data().chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().unwrap()));
            (name.to_owned(), TensorData::new(words.collect(), view.shape().to_vec()))
        });
        Self {
            tensors: tensors.collect(),
            momentum: settings["momentum"].parse().unwrap(),
            epsilon: settings["epsilon"].parse().unwrap(),
            steps: settings["steps"].parse().unwrap(),
            worst: (0.0, String::new()),
        }
    }

    fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        Tensor::from_data(self.tensors[name].clone(), device)
    }

    fn layer(&self, shape: &str, wing: (&str, Wing), device: &Device) -> TwinsBatchNorm {
        let value = |entry: &str| self.tensor::<1>(&format!("{shape}/{entry}"), device);
        let affine = if wing.0.ends_with("shared") { Affine::Shared } else { Affine::PerWing };
        let mut norm = TwinsBatchNormConfig::new(value("gamma").dims()[0])
            .with_momentum(self.momentum)
            .with_epsilon(self.epsilon)
            .with_affine(affine)
            .init(device);
        norm.gamma = Param::from_tensor(value("gamma"));
        norm.beta = Param::from_tensor(value("beta"));
        norm.running_mean = RunningState::new(value("running_mean"));
        norm.running_var = RunningState::new(value("running_var"));
        if affine == Affine::PerWing {
            norm.frozen_gamma = Some(Param::from_tensor(value("frozen_gamma")));
            norm.frozen_beta = Some(Param::from_tensor(value("frozen_beta")));
        }
        norm.frozen_mean = Param::from_tensor(value("frozen_mean")).set_require_grad(false);
        norm.frozen_var = Param::from_tensor(value("frozen_var")).set_require_grad(false);
        norm.with_wing(wing.1)
    }

    fn compare<const D: usize>(&mut self, name: &str, found: Tensor<D>) {
        let expected = self.tensors[name].try_to_vec::<f32>().unwrap();
        let found = found.into_data().convert_dtype(DType::F32).try_to_vec::<f32>().unwrap();
        assert_eq!(found.len(), expected.len(), "{name}");
        let largest =
            expected.iter().filter(|v| v.is_finite()).fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
        let tolerance = match name.split('/').next() {
            Some("offset") => OFFSET_TOLERANCE,
            Some("constant") => CONSTANT_TOLERANCE,
            _ => TOLERANCE,
        };
        for (found, expected) in found.into_iter().zip(expected) {
            // PyTorch's running variance overflows in the huge case: ours may too, but must not be NaN.
            if !expected.is_finite() {
                assert!(!found.is_nan(), "{name}: NaN where PyTorch has {expected}");
                continue;
            }
            let error = (found - expected).abs() / largest;
            assert!(error <= tolerance, "{name}: {found}, not {expected}");
            if tolerance == TOLERANCE && error > self.worst.0 {
                self.worst = (error, name.to_owned());
            }
        }
    }

    fn check<const D: usize>(&mut self, shape: &str, wing: (&str, Wing), device: &Device) {
        let device = device.clone().autodiff();
        let norm = self.layer(shape, wing, &device);
        let input = self.tensor::<D>(&format!("{shape}/input"), &device).require_grad();
        let output = norm.forward(input.clone());
        let name = |entry: &str| format!("{shape}/{}/{entry}", wing.0);
        self.compare(&name("output"), output.clone().inner());

        let gradient = self.tensor::<D>(&format!("{shape}/gradient"), &device);
        let gradients = (output * gradient).sum().backward();
        self.compare(&name("input.grad"), input.grad(&gradients).unwrap());
        let frozen = [("frozen_gamma", &norm.frozen_gamma), ("frozen_beta", &norm.frozen_beta)];
        let affine = [("gamma", Some(&norm.gamma)), ("beta", Some(&norm.beta))];
        for (entry, param) in affine.into_iter().chain(frozen.map(|(entry, param)| (entry, param.as_ref()))) {
            let found = param.and_then(|param| param.val().grad(&gradients));
            let name = name(&format!("{entry}.grad"));
            assert_eq!(found.is_some(), self.tensors.contains_key(&name), "{name}");
            if let Some(found) = found {
                self.compare(&name, found);
            }
        }

        let mut input = input.detach();
        for _ in 1..self.steps {
            input = input * 1.5;
            norm.forward(input.clone());
        }
        let after = norm.valid();
        if wing.1 == Wing::Split || wing.1 == Wing::AdaptiveTraining {
            self.compare(&name("running_mean.after"), after.running_mean.value());
            self.compare(&name("running_var.after"), after.running_var.value());
        } else {
            let before = self.tensor::<1>(&format!("{shape}/running_mean"), &device).inner().into_data();
            assert_eq!(after.running_mean.value().into_data(), before, "{shape}, {}", wing.0);
        }
    }
}

#[test]
fn the_layer_computes_what_pytorch_computes() {
    for (choice, device) in burn_twins_tests::devices() {
        let mut golden = Golden::read();
        for shape in SHAPES {
            for wing in WINGS {
                match golden.tensors[&format!("{shape}/input")].shape().len() {
                    2 => golden.check::<2>(shape, wing, &device),
                    3 => golden.check::<3>(shape, wing, &device),
                    4 => golden.check::<4>(shape, wing, &device),
                    rank => {
                        assert_eq!(rank, 5);
                        golden.check::<5>(shape, wing, &device);
                    }
                }
            }
        }
        println!(
            "{choice}: largest relative error, but for offset and constant channels, {:.1e} ({})",
            golden.worst.0, golden.worst.1
        );
    }
}

/// Half precision where the device has it, against float32 of the same device and the same rounded values.
#[test]
fn half_precision_follows_single_precision() {
    for (choice, device) in burn_twins_tests::devices() {
        for dtype in [DType::F16, DType::BF16] {
            if !device.supports_dtype(dtype) {
                println!("{choice}: no {dtype:?}");
                continue;
            }
            for wing in [Wing::Adaptive, Wing::AdaptiveTraining, Wing::Frozen, Wing::Split] {
                let autodiff = device.clone().autodiff();
                let values: Vec<f32> =
                    (0..8 * 3 * 25).map(|i| ((i * 37 % 101) as f32 - 50.0) / 32.0).collect();
                let run = |dtype: DType| {
                    let input = Tensor::<1>::from_data(TensorData::from(values.as_slice()), &autodiff)
                        .reshape([8, 3, 5, 5]);
                    let input = input.cast(dtype).detach().require_grad();
                    let norm = TwinsBatchNormConfig::new(3).init(&autodiff).with_wing(wing);
                    let norm = norm.map(&mut Cast(dtype));
                    let output = norm.forward(input.clone());
                    let gradients = (output.clone() * input.clone().detach()).sum().backward();
                    [output.inner(), input.grad(&gradients).unwrap()]
                        .map(|t| t.into_data().convert_dtype(DType::F32))
                };
                // Values of order 1 after half a dozen rounded operations, with 10 and 7 bits of mantissa.
                let tolerance = if dtype == DType::F16 { 1e-2 } else { 8e-2 };
                for (half, single) in run(dtype).iter().zip(&run(DType::F32)) {
                    half.assert_approx_eq::<f32>(single, Tolerance::absolute(tolerance));
                }
            }
        }
    }
}

struct Cast(DType);

impl burn::module::ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| {
            let tracked = tensor.is_require_grad();
            tensor.cast(self.0).detach().set_require_grad(tracked)
        })
    }
}
