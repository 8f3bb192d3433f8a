//! The small convolutional network for MNIST.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};
use twins_nn::{conv2d, linear, relu};

/// The sizes of the network; only tests use sizes other than the published ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MnistCnnSpec {
    pub(crate) channels: [usize; 2],
    pub(crate) hidden: usize,
}

impl MnistCnnSpec {
    pub(crate) const PUBLISHED: Self = Self { channels: [16, 32], hidden: 100 };
}

/// Two 4×4 convolutions with stride 2 and two dense layers, with ReLU between them.
#[derive(Module, Debug)]
pub(crate) struct MnistCnn {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    pub(crate) fc2: Linear,
}

impl MnistCnnSpec {
    pub(crate) fn init(&self, num_classes: usize, device: &Device) -> MnistCnn {
        let [first, second] = self.channels;
        let conv = |input, output| {
            Conv2dConfig::new([input, output], [4, 4])
                .with_stride([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        };
        MnistCnn {
            conv1: conv(1, first),
            conv2: conv(first, second),
            // The convolutions halve the 28 pixels twice.
            fc1: LinearConfig::new(second * 7 * 7, self.hidden).init(device),
            fc2: LinearConfig::new(self.hidden, num_classes).init(device),
        }
    }
}

impl MnistCnn {
    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(conv2d(&self.conv1, images));
        let x = relu(conv2d(&self.conv2, x));
        linear(&self.fc2, relu(linear(&self.fc1, x)))
    }
}
