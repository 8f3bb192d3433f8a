//! A small network and its training on built-in images.

pub(crate) mod accessible;
pub(crate) mod well_formed;

use std::sync::Arc;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use twins_attack::Norm;
use twins_data::{BuiltinDataset, ImageDataset, Part, Task};
use twins_nn::{ImageClassifier, TwinsBatchNorm, TwinsBatchNormConfig};
use twins_train::{AdversaryConfig, Method, ProgressDisplay, TrainConfig, Trained, Trainer};

/// Convolution 3→6 with stride 4, two-wing batch normalisation, ReLU, linear.
#[derive(Module, Debug)]
pub(crate) struct Net {
    conv: Conv2d,
    norm: TwinsBatchNorm,
    head: Linear,
}

impl Net {
    pub(crate) fn new() -> Self {
        let device = Device::flex();
        Self {
            conv: Conv2dConfig::new([3, 6], [4, 4]).with_stride([4, 4]).with_bias(false).init(&device),
            norm: TwinsBatchNormConfig::new(6).init(&device),
            head: LinearConfig::new(6 * 8 * 8, 10).init(&device),
        }
    }
}

impl ImageClassifier for Net {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.head.forward(relu(self.norm.forward(self.conv.forward(images))).flatten(1, 3))
    }
}

/// Three epochs with a weak adversary.
pub(crate) fn config(method: Method) -> TrainConfig {
    TrainConfig::new(method)
        .with_epochs(3)
        .with_batch_size(16)
        .with_adversary(AdversaryConfig::new(Norm::Linf, 0.05, 2, 0.04))
        .with_seed(5)
}

/// 80 images of digits.
pub(crate) fn images() -> Arc<dyn ImageDataset> {
    Arc::new(BuiltinDataset::new(Task::Target, Part::Train, 80, 1))
}

pub(crate) fn trainer(config: TrainConfig) -> Trainer<Net> {
    Trainer::new(config).unwrap().with_progress(ProgressDisplay::Hidden)
}

pub(crate) fn train(config: TrainConfig) -> Trained<Net> {
    trainer(config).fit(Net::new(), images()).unwrap()
}
