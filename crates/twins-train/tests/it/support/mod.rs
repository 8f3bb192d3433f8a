//! A net and a data set small enough for many trainings in a test, and what trainings are compared by.

pub(crate) mod process;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use burn_dataset::Dataset;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use twins_attack::Norm;
use twins_data::{DataError, Image, ImageDataset, LabelledImage};
use twins_nn::{TwinsBatchNorm, TwinsBatchNormConfig};
use twins_train::{
    AdversaryConfig, AutoLoraConfig, ImageClassifier, Method, ProgressDisplay, Schedule, TrainConfig,
    Trainer, Weights,
};

/// conv 1→6, two-wing batch normalisation, ReLU, mean, linear 6·4→classes.
#[derive(Module, Debug)]
pub(crate) struct Net {
    pub(crate) conv: Conv2d,
    pub(crate) norm: TwinsBatchNorm,
    pub(crate) head: Linear,
}

impl Net {
    pub(crate) fn new(classes: usize, seed: u64) -> Self {
        // The device's generator is the process's: initial weights are drawn here instead.
        let device = Device::flex();
        let mut draws = ChaCha8Rng::seed_from_u64(seed);
        let mut values = |count: usize, scale: f32| -> Vec<f32> {
            (0..count).map(|_| scale * (draws.random::<f32>() - 0.5)).collect()
        };
        let mut net = Self {
            conv: Conv2dConfig::new([1, 6], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(false)
                .init(&device),
            norm: TwinsBatchNormConfig::new(6).init(&device),
            head: LinearConfig::new(24, classes).init(&device),
        };
        net.conv.weight = net.conv.weight.map(|old| tensor(values(54, 1.0), old));
        net.head.weight = net.head.weight.map(|old| tensor(values(24 * classes, 0.4), old));
        net.head.bias = net.head.bias.map(|bias| bias.map(|old| tensor(vec![0.0; classes], old)));
        net
    }
}

fn tensor<const D: usize>(values: Vec<f32>, like: Tensor<D>) -> Tensor<D> {
    let flat = Tensor::<1>::from_floats(values.as_slice(), &like.device());
    flat.reshape(like.dims()).set_require_grad(like.is_require_grad())
}

impl ImageClassifier for Net {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.norm.forward(self.conv.forward(images)));
        let [n, channels, height, width] = x.dims();
        // Mean over each quarter of the image.
        let quarters = x.reshape([n, channels, 2, height / 2, 2, width / 2]).mean_dims(&[3, 5]);
        self.head.forward(quarters.reshape([n, channels * 4]))
    }
}

/// 8 × 8 images with noise and a bright square whose quarter is the class.
pub(crate) struct Squares {
    images: Vec<LabelledImage>,
    classes: Vec<String>,
}

impl Squares {
    pub(crate) fn dataset(len: usize, seed: u64) -> Arc<dyn ImageDataset> {
        let mut draws = ChaCha8Rng::seed_from_u64(seed);
        let images = (0..len)
            .map(|index| {
                let label = index % 4;
                let (top, left) = (4 * (label / 2), 4 * (label % 2));
                let (dy, dx) = (draws.random_range(0..2), draws.random_range(0..2));
                let mut pixels: Vec<u8> = (0..64).map(|_| draws.random_range(0..120)).collect();
                for y in 0..3 {
                    for x in 0..3 {
                        pixels[8 * (top + dy + y) + left + dx + x] += 100;
                    }
                }
                LabelledImage { image: Image { shape: [1, 8, 8], pixels }, label }
            })
            .collect();
        let classes = ["upper left", "upper right", "lower left", "lower right"];
        Arc::new(Self { images, classes: classes.map(str::to_owned).to_vec() })
    }
}

impl Dataset<LabelledImage, DataError> for Squares {
    fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
        Ok(self.images[index].clone())
    }

    fn len(&self) -> usize {
        self.images.len()
    }
}

impl ImageDataset for Squares {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn image_shape(&self) -> [usize; 3] {
        [1, 8, 8]
    }
}

/// Three epochs with a weak adversary. Of 90 images less 9 for validation, an epoch has a batch of 17 and four of 16, each of
/// which is large enough for two parts with two wings.
pub(crate) fn config(method: Method) -> TrainConfig {
    TrainConfig::new(method)
        .with_epochs(3)
        .with_batch_size(17)
        .with_learning_rate(0.05)
        .with_schedule(Schedule::MultiStep { milestones: vec![2], gamma: 0.1 })
        .with_adversary(AdversaryConfig::new(Norm::Linf, 0.05, 2, 0.04))
        .with_auto_lora(AutoLoraConfig::new(4))
        .with_seed(5)
}

pub(crate) fn trainer(config: TrainConfig) -> Trainer<Net> {
    Trainer::new(config).unwrap().with_progress(ProgressDisplay::Hidden)
}

/// So many handles of the CPU.
pub(crate) fn cpus(count: usize) -> Vec<Device> {
    vec![Device::flex(); count]
}

/// The largest difference of two models, relative to the largest value of the tensor, and where it is.
pub(crate) fn difference<M: Module>(a: &M, b: &M) -> (f32, String) {
    let (a, b) = (Weights::of(a), Weights::of(b));
    assert_eq!(a.tensors().keys().collect::<Vec<_>>(), b.tensors().keys().collect::<Vec<_>>());
    let pairs = a.tensors().iter().map(|(path, a)| {
        let values = |data: &burn::tensor::TensorData| data.try_to_vec::<f32>().unwrap();
        let (a, b) = (values(a), values(&b.tensors()[path]));
        let largest = a.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
        let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        (off / largest, path.clone())
    });
    pairs.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

/// The tensors of a checkpoint's bytes.
pub(crate) fn tensors(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    file.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect()
}

/// The tensors of a run's state: weights, running statistics and momentum.
pub(crate) fn state(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut state = tensors(&std::fs::read(run.join("last.safetensors")).unwrap());
    // A run that has been validated also has its best weights.
    state.retain(|name, _| !name.starts_with("best/"));
    state
}
