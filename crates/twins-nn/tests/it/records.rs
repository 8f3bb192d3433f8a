//! Records of a user's model with the layer in it: both formats, from a `BatchNorm` model, from PyTorch's names, and
//! back to a `BatchNorm` model.

use burn::module::{Module, Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::store::{ModuleRecord, ModuleSnapshot, ModuleStore, PyTorchToBurnAdapter, SafetensorsStore};
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use twins_nn::{TwinsBatchNorm, TwinsBatchNormConfig, TwinsModule, Wing};

/// A user's model, before.
#[derive(Module, Debug)]
struct Stock {
    conv: Conv2d,
    norms: Vec<BatchNorm>,
    last: Option<BatchNorm>,
    hidden: Linear,
    head: Linear,
}

/// And after: the fields' type changed.
#[derive(Module, Debug)]
struct Twins {
    conv: Conv2d,
    norms: Vec<TwinsBatchNorm>,
    last: Option<TwinsBatchNorm>,
    hidden: Linear,
    head: Linear,
}

macro_rules! model {
    ($model:ident, $config:ident) => {
        impl $model {
            fn new(device: &Device) -> Self {
                let norm = || $config::new(4).init(device);
                Self {
                    conv: Conv2dConfig::new([3, 4], [3, 3]).with_bias(false).init(device),
                    norms: vec![norm(), norm()],
                    last: Some(norm()),
                    // A square weight, which would load transposed without an error, and one that is not.
                    hidden: LinearConfig::new(4, 4).init(device),
                    head: LinearConfig::new(4, 7).init(device),
                }
            }

            fn forward(&self, images: Tensor<4>) -> Tensor<2> {
                let norms = self.norms.iter().chain(&self.last);
                let x = norms.fold(self.conv.forward(images), |x, norm| norm.forward(x).tanh());
                self.head.forward(self.hidden.forward(x.mean_dims(&[2, 3]).squeeze_dims(&[2, 3])))
            }
        }
    };
}

model!(Stock, BatchNormConfig);
model!(Twins, TwinsBatchNormConfig);

fn images(device: &Device) -> Tensor<4> {
    device.seed(5);
    Tensor::random([6, 3, 8, 8], Distribution::Normal(0.3, 1.2), device)
}

/// Four values about 1 that no other call gives.
fn distinct(number: usize, device: &Device) -> Param<Tensor<1>> {
    let values: Vec<f32> = (0..4).map(|channel| 0.5 + (number * 4 + channel) as f32 * 0.07).collect();
    Param::from_tensor(Tensor::from_floats(values.as_slice(), device))
}

/// A `BatchNorm` model with gammas, betas and statistics of its own.
fn trained_stock(device: &Device) -> Stock {
    let mut model = Stock::new(device);
    for (number, norm) in model.norms.iter_mut().chain(&mut model.last).enumerate() {
        norm.gamma = distinct(2 * number, device);
        norm.beta = distinct(2 * number + 1, device);
    }
    for _ in 0..3 {
        model.forward(images(device));
    }
    model
}

fn difference(left: Tensor<2>, right: Tensor<2>) -> f32 {
    (left - right).abs().max().into_scalar()
}

/// Every tensor of a model by path, to compare models exactly.
fn values(model: &impl Module) -> Vec<(String, TensorData)> {
    let tensors = model.valid().collect(None, None, false);
    let data = tensors.into_iter().map(|tensor| {
        let (name, dtype, shape, _, bytes) = tensor.into_parts().unwrap();
        (name, TensorData::from_bytes(bytes, shape, dtype))
    });
    data.collect()
}

/// A two-wing model whose wings differ in everything, from a stock checkpoint, other gammas and betas, and one split step.
fn trained_twins(device: &Device) -> Twins {
    let record = trained_stock(device).valid().into_record();
    let model = Twins::new(device).load_record(record.allow_partial(true)).copy_adaptive_to_frozen();
    let mut model = model.with_wing(Wing::Split);
    for (number, norm) in model.norms.iter_mut().chain(&mut model.last).enumerate() {
        norm.frozen_gamma = Some(distinct(6 + 2 * number, device));
        norm.frozen_beta = Some(distinct(7 + 2 * number, device));
    }
    model.forward(images(device) * 2.0);
    model
}

#[test]
fn a_batch_norm_record_fills_both_wings() {
    let device = Device::flex().autodiff();
    let stock = trained_stock(&device).valid();
    let record = stock.clone().into_record().allow_partial(true);
    let twins = Twins::new(&device).load_record(record).copy_adaptive_to_frozen().valid();

    let images = images(&device).inner();
    let expected = stock.forward(images.clone());
    for wing in [Wing::Adaptive, Wing::Frozen] {
        // The same float32 operations but for their order within a channel.
        assert!(difference(twins.clone().with_wing(wing).forward(images.clone()), expected.clone()) < 1e-5);
    }
}

#[test]
fn both_wings_survive_burnpack() {
    let device = Device::flex().autodiff();
    let twins = trained_twins(&device);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("twins.bpk");
    twins.valid().into_record().save(&file).unwrap();
    let loaded = Twins::new(&device).load_record(ModuleRecord::load(&file).unwrap());
    assert_eq!(values(&loaded), values(&twins));
}

#[test]
fn both_wings_survive_safetensors() {
    let device = Device::flex().autodiff();
    let twins = trained_twins(&device);
    let folder = tempfile::tempdir().unwrap();
    let mut store = SafetensorsStore::from_file(folder.path().join("twins.safetensors"));
    store.collect_from(&twins.valid()).unwrap();
    let mut loaded = Twins::new(&device);
    let result = store.apply_to(&mut loaded).unwrap();
    assert!(result.missing.is_empty() && result.unused.is_empty(), "{result:?}");
    assert_eq!(values(&loaded), values(&twins));
}

/// PyTorch's names, untouched in the file, mapped as they are read.
#[test]
fn a_pytorch_checkpoint_loads_by_key_mapping() {
    let device = Device::flex().autodiff();
    let stock = trained_stock(&device).valid();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torch.safetensors");
    let torch_name = |name: &str| {
        let (layer, entry) = name.rsplit_once('.').unwrap();
        match entry {
            "gamma" => format!("{layer}.weight"),
            "beta" => format!("{layer}.bias"),
            _ => name.to_owned(),
        }
    };
    let tensors: Vec<(String, TensorData)> =
        values(&stock).into_iter().map(|(name, data)| (torch_name(&name), data)).collect();
    let tensors: Vec<(String, TensorData)> = tensors
        .into_iter()
        .map(|(name, data)| match name.as_str() {
            // PyTorch's linear layers are [out, in].
            "hidden.weight" | "head.weight" => {
                (name, Tensor::<2>::from_data(data, &device.clone().inner()).transpose().into_data())
            }
            _ => (name, data),
        })
        .collect();
    let views = tensors.iter().map(|(name, data)| {
        let view = safetensors::tensor::TensorView::new(
            safetensors::Dtype::F32,
            data.shape().to_vec(),
            data.as_bytes(),
        );
        (name, view.unwrap())
    });
    safetensors::serialize_to_file(views, None, &path).unwrap();

    let mut store = SafetensorsStore::from_file(&path)
        .with_from_adapter(PyTorchToBurnAdapter)
        .with_key_remapping(r"^((norms\.\d+|last))\.weight$", "$1.gamma")
        .with_key_remapping(r"^((norms\.\d+|last))\.bias$", "$1.beta")
        .allow_partial(true);
    let mut twins = Twins::new(&device);
    let result = store.apply_to(&mut twins).unwrap();
    assert!(result.unused.is_empty(), "{:?}", result.unused);
    assert!(result.missing.iter().all(|(path, _)| path.contains("frozen_")), "{:?}", result.missing);
    let twins = twins.copy_adaptive_to_frozen().valid();

    let images = images(&device).inner();
    let expected = stock.forward(images.clone());
    assert!(difference(twins.forward(images.clone()), expected.clone()) < 1e-5);
    assert!(difference(twins.with_wing(Wing::Frozen).forward(images), expected) < 1e-5);
}

/// What is deployed: the adaptive wing as a model that knows nothing of this library.
#[test]
fn a_trained_model_becomes_a_batch_norm_model() {
    let device = Device::flex().autodiff();
    let twins = trained_twins(&device).valid();
    let stock = Stock::new(&device).load_record(twins.clone().into_record().allow_unused(true)).valid();
    let images = images(&device).inner();
    assert!(difference(stock.forward(images.clone()), twins.forward(images)) < 1e-5);
}

#[test]
fn clones_on_other_devices_keep_their_statistics() {
    let device = Device::flex().autodiff();
    let mut twins = trained_twins(&device);
    twins.norms[0].gamma = Param::from_tensor(Tensor::from_floats([1.0, 2.0, 3.0, 4.0], &device));
    twins.norms[0].running_mean = RunningState::new(Tensor::from_floats([1.0, 2.0, 3.0, 4.0], &device));
    let expected = values(&twins);
    for copy in [
        twins.clone(),
        twins.clone().fork(&device),
        twins.clone().to_device(&device),
        twins.clone().no_grad(),
        twins.clone().freeze(),
    ] {
        assert_eq!(values(&copy), expected);
    }
}
