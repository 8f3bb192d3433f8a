//! Records of a user's model with the layer in it: both formats, from a `BatchNorm` model, from PyTorch's names, and
//! back to a `BatchNorm` model.

use std::collections::HashMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::store::{
    BurnpackStore, ModuleRecord, ModuleSnapshot, ModuleStore, PathFilter, PyTorchToBurnAdapter,
    SafetensorsStore,
};
use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use twins_nn::{
    LoadError, LoadMismatch, StatisticsError, TwinsBatchNorm, TwinsBatchNormConfig, TwinsModule, Wing,
};

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
    let model = Twins::new(device).load_batch_norm_model(&trained_stock(device)).unwrap();
    let mut model = model.with_wing(Wing::Split);
    for (number, norm) in model.norms.iter_mut().chain(&mut model.last).enumerate() {
        norm.frozen_gamma = Some(distinct(6 + 2 * number, device));
        norm.frozen_beta = Some(distinct(7 + 2 * number, device));
    }
    model.forward(images(device) * 2.0);
    model
}

/// Both wings compute what the `BatchNorm` model computes, and hold its values to the bit.
fn assert_filled(twins: &Twins, stock: &Stock) {
    let (twins, stock) = (twins.valid(), stock.valid());
    let images = images(&Device::flex());
    let expected = stock.forward(images.clone());
    for wing in [Wing::Adaptive, Wing::Frozen] {
        // The same float32 operations but for their order within a channel.
        assert!(difference(twins.clone().with_wing(wing).forward(images.clone()), expected.clone()) < 1e-5);
    }
    let filled: HashMap<String, TensorData> = values(&twins).into_iter().collect();
    for (path, value) in values(&stock) {
        assert_eq!(filled[&path], value, "{path}");
        let (layer, field) = path.rsplit_once('.').unwrap();
        if let Some(frozen) = filled.get(&format!("{layer}.frozen_{}", field.trim_start_matches("running_")))
        {
            assert_eq!(*frozen, value, "{path}");
        }
    }
}

#[test]
fn a_batch_norm_model_fills_both_wings_from_every_source() {
    let device = Device::flex().autodiff();
    let stock = trained_stock(&device);
    let folder = tempfile::tempdir().unwrap();
    let [burnpack, safetensors] = ["stock.bpk", "stock.safetensors"].map(|name| folder.path().join(name));
    stock.valid().into_record().save(&burnpack).unwrap();
    SafetensorsStore::from_file(&safetensors).collect_from(&stock.valid()).unwrap();

    assert_filled(&Twins::new(&device).load_batch_norm_model(&stock).unwrap(), &stock);
    let record = ModuleRecord::load(&burnpack).unwrap();
    assert_filled(&Twins::new(&device).load_batch_norm_record(record).unwrap(), &stock);
    let mut store = BurnpackStore::from_file(&burnpack);
    assert_filled(&Twins::new(&device).load_batch_norm_from(&mut store).unwrap(), &stock);
    let mut store = SafetensorsStore::from_file(&safetensors);
    assert_filled(&Twins::new(&device).load_batch_norm_from(&mut store).unwrap(), &stock);
    // On a device without autodiff too.
    assert_filled(&Twins::new(&device.inner()).load_batch_norm_model(&stock).unwrap(), &stock);
}

struct Cast(DType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Self(dtype) = *self;
        param.map(|tensor| tensor.cast(dtype))
    }
}

#[test]
fn a_record_is_loaded_in_the_precision_that_it_asks_for() {
    let device = Device::flex().autodiff();
    let stock = trained_stock(&device);
    let double = || stock.valid().map(&mut Cast(DType::F64)).into_record();
    let load = |record: ModuleRecord| Twins::new(&device).load_batch_norm_record(record).unwrap();
    // Values in single precision are exact in double precision.
    assert_filled(&load(double().cast_to_module_dtype()), &stock);
    let precisions: Vec<DType> = values(&load(double())).iter().map(|(_, value)| value.dtype()).collect();
    assert!(precisions.iter().all(|dtype| *dtype == DType::F64), "{precisions:?}");
}

/// The frozen wing is a start of its own: the wing in training and the parameters that are trained stay as they were.
#[test]
fn a_filled_model_trains_as_a_new_one() {
    let device = Device::flex().autodiff();
    let twins =
        Twins::new(&device).with_wing(Wing::Split).load_batch_norm_model(&trained_stock(&device)).unwrap();
    let norm = &twins.norms[0];
    assert_eq!(norm.wing(), Wing::Split);
    let trained =
        [&norm.gamma, norm.frozen_gamma.as_ref().unwrap(), &norm.frozen_mean].map(|p| p.is_require_grad());
    assert_eq!(trained, [true, true, false]);
    assert_ne!(norm.gamma.id, norm.frozen_gamma.as_ref().unwrap().id);
}

/// The error of loading entries of the stock model after a change to them, from stores that would accept or refuse it.
fn refused(change: impl Fn(&mut Vec<(String, TensorData)>)) -> LoadMismatch {
    let device = Device::flex().autodiff();
    let mut entries = values(&trained_stock(&device).valid());
    change(&mut entries);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stock.safetensors");
    write(&entries, &path);

    // A clone shares the running statistics: loading into one would show in the other.
    let twins = Twins::new(&device);
    let before = values(&twins);
    let load = |store: SafetensorsStore| match twins.clone().load_batch_norm_from(&mut { store }) {
        Err(LoadError::Mismatch(mismatch)) => *mismatch,
        other => panic!("{other:?}"),
    };
    let strict = load(SafetensorsStore::from_file(&path));
    let lax = load(SafetensorsStore::from_file(&path).allow_partial(true).validate(false));
    assert_eq!(strict, lax);
    assert_eq!(values(&twins), before, "nothing is loaded");
    strict
}

fn write(entries: &[(String, TensorData)], path: &Path) {
    let views = entries.iter().map(|(name, data)| {
        let shape = data.shape().to_vec();
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, data.as_bytes()).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn at<'a>(entries: &'a mut [(String, TensorData)], path: &str) -> &'a mut (String, TensorData) {
    entries.iter_mut().find(|(name, _)| name == path).unwrap()
}

#[test]
fn a_renamed_layer_is_refused() {
    let mismatch = refused(|entries| {
        for (name, _) in entries {
            *name = name.replace("norms.1.", "other.");
        }
    });
    let fields = ["beta", "gamma", "running_mean", "running_var"];
    let paths = |layer: &str| fields.map(|field| (format!("{layer}.{field}"), vec![4])).to_vec();
    let mut missing = mismatch.missing.clone();
    missing.sort();
    assert_eq!((missing, mismatch.unexpected.clone()), (paths("norms.1"), paths("other")));
    let message = mismatch.to_string();
    assert!(message.contains("4 missing, 4 unexpected, 0 of another shape"), "{message}");
    assert!(message.contains("another name") && message.contains("missing: norms.1.gamma [4]"), "{message}");
}

#[test]
fn a_missing_layer_is_refused() {
    let mismatch = refused(|entries| entries.retain(|(name, _)| !name.starts_with("hidden.")));
    let expected = vec![("hidden.weight".to_owned(), vec![4, 4]), ("hidden.bias".to_owned(), vec![4])];
    // Nothing is left that could be the layer under another name.
    assert!(!mismatch.to_string().contains("another name"), "{mismatch}");
    assert_eq!(mismatch, LoadMismatch { missing: expected, ..LoadMismatch::default() });
}

#[test]
fn an_extra_layer_is_refused() {
    let mismatch =
        refused(|entries| entries.push(("norms.2.gamma".to_owned(), TensorData::from([1.0f32; 4]))));
    let unexpected = vec![("norms.2.gamma".to_owned(), vec![4])];
    assert!(!mismatch.to_string().contains("another name"), "{mismatch}");
    assert_eq!(mismatch, LoadMismatch { unexpected, ..LoadMismatch::default() });
}

#[test]
fn another_shape_is_refused() {
    let mismatch = refused(|entries| at(entries, "last.running_var").1 = TensorData::from([1.0f32; 5]));
    let shape_mismatches = vec![("last.running_var".to_owned(), vec![4], vec![5])];
    assert!(mismatch.to_string().contains("last.running_var is [5], the model needs [4]"), "{mismatch}");
    assert_eq!(mismatch, LoadMismatch { shape_mismatches, ..LoadMismatch::default() });
}

#[test]
fn a_record_is_held_to_the_same() {
    let device = Device::flex().autodiff();
    let with_two_layers =
        Stock { norms: vec![BatchNormConfig::new(4).init(&device)], ..trained_stock(&device) };
    let record = with_two_layers.valid().into_record().allow_partial(true).allow_unused(true).validate(false);
    let message = Twins::new(&device).load_batch_norm_record(record).unwrap_err().to_string();
    assert!(
        message.contains("nothing was loaded") && message.contains("missing: norms.1.gamma"),
        "{message}"
    );

    let own = trained_twins(&device).valid().into_record();
    let message = Twins::new(&device).load_batch_norm_record(own).unwrap_err().to_string();
    assert!(message.contains("frozen wings of its own"), "{message}");

    let record = trained_stock(&device).valid().into_record();
    assert_eq!(Stock::new(&device).load_batch_norm_record(record).unwrap_err(), LoadError::NoTwinsLayers);
}

#[test]
fn a_filter_leaves_nothing_out_silently() {
    let device = Device::flex().autodiff();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stock.safetensors");
    let mut entries = values(&trained_stock(&device).valid());
    // Its shape is not what keeps it from being loaded.
    at(&mut entries, "head.bias").1 = TensorData::from([1.0f32; 9]);
    write(&entries, &path);
    let filter = PathFilter::new().with_predicate(|path, _| !path.starts_with("head."));
    let mut store = SafetensorsStore::from_file(&path).filter(filter);
    let Err(LoadError::Mismatch(mismatch)) = Twins::new(&device).load_batch_norm_from(&mut store) else {
        panic!("a head that is left out is refused")
    };
    let withheld = vec!["head.weight".to_owned(), "head.bias".to_owned()];
    assert_eq!(*mismatch, LoadMismatch { withheld, ..LoadMismatch::default() });
}

#[test]
fn statistics_that_no_data_can_have_are_refused() {
    let device = Device::flex().autodiff();
    let mut stock = trained_stock(&device);
    stock.norms[1].running_var = RunningState::new(Tensor::from_floats([1.0, -0.5, 1.0, 1.0], &device));
    let twins = Twins::new(&device);
    let before = values(&twins);
    let expected =
        StatisticsError::NegativeVariance { path: "norms.1.running_var".into(), channel: 1, value: -0.5 };
    assert_eq!(twins.clone().load_batch_norm_model(&stock).unwrap_err(), expected.into());
    assert_eq!(values(&twins), before, "nothing is loaded");
}

#[test]
fn a_file_that_cannot_be_read_is_reported() {
    let device = Device::flex().autodiff();
    let mut store = SafetensorsStore::from_file("no_such_file.safetensors");
    let error = Twins::new(&device).load_batch_norm_from(&mut store).unwrap_err();
    assert!(matches!(error, LoadError::Source { .. }), "{error}");
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

/// PyTorch's names, layout and batch counters: the adapter is all that the user gives.
#[test]
fn a_pytorch_checkpoint_fills_both_wings() {
    let device = Device::flex().autodiff();
    let stock = trained_stock(&device);
    let entries = values(&stock.valid()).into_iter().map(|(name, data)| {
        let (layer, field) = name.rsplit_once('.').unwrap();
        match (layer, field) {
            (_, "gamma") => (format!("{layer}.weight"), data),
            (_, "beta") => (format!("{layer}.bias"), data),
            // PyTorch's linear layers are [out, in].
            ("hidden" | "head", "weight") => {
                let weight = Tensor::<2>::from_data(data, &device.clone().inner());
                (name, weight.transpose().into_data())
            }
            _ => (name, data),
        }
    });
    let mut entries: Vec<(String, TensorData)> = entries.collect();
    entries.push(("last.num_batches_tracked".to_owned(), TensorData::from([3.0f32])));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torch.safetensors");
    write(&entries, &path);

    let mut store = SafetensorsStore::from_file(&path).with_from_adapter(PyTorchToBurnAdapter);
    assert_filled(&Twins::new(&device).load_batch_norm_from(&mut store).unwrap(), &stock);

    // Without the adapter, the names that Burn has for a batch normalisation are missing.
    let mut store = SafetensorsStore::from_file(&path);
    let message = Twins::new(&device).load_batch_norm_from(&mut store).unwrap_err().to_string();
    assert!(message.contains("head.weight is [7, 4], the model needs [4, 7]"), "{message}");
}

/// The adapter transposes what has Burn's layout already.
#[test]
fn an_adapter_that_does_not_belong_to_the_file_is_named() {
    let device = Device::flex().autodiff();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stock.safetensors");
    SafetensorsStore::from_file(&path).collect_from(&trained_stock(&device).valid()).unwrap();
    let mut store = SafetensorsStore::from_file(&path).with_from_adapter(PyTorchToBurnAdapter);
    let message = Twins::new(&device).load_batch_norm_from(&mut store).unwrap_err().to_string();
    assert!(
        message.contains("because of the store's filter or adapter, or its type: head.weight"),
        "{message}"
    );
}

/// A model that also has another kind of normalisation.
#[derive(Module, Debug)]
struct TwoNorms {
    batch: TwinsBatchNorm,
    layer: LayerNorm,
}

#[test]
fn the_error_about_a_pytorch_checkpoint_knows_the_names_of_other_normalisations() {
    let device = Device::flex();
    let model = TwoNorms {
        batch: TwinsBatchNormConfig::new(4).init(&device),
        layer: LayerNormConfig::new(4).init(&device),
    };
    let names = ["batch.weight", "batch.bias", "batch.running_mean", "batch.running_var", "layer.weight"];
    let entries = names.map(|name| (name.to_owned(), TensorData::from([1.0f32; 4])));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torch.safetensors");
    write(&entries, &path);
    let mut store = SafetensorsStore::from_file(&path).with_from_adapter(PyTorchToBurnAdapter);
    let Err(LoadError::Mismatch(mismatch)) = model.load_batch_norm_from(&mut store) else {
        panic!("an entry is missing")
    };
    let missing = vec![("layer.beta".to_owned(), vec![4])];
    assert_eq!(*mismatch, LoadMismatch { missing, ..LoadMismatch::default() });
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
