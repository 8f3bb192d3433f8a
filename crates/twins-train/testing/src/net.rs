use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use twins_nn::{ImageClassifier, TwinsBatchNorm, TwinsBatchNormConfig};

/// conv 1→6, two-wing batch normalisation, ReLU, mean, linear 6·4→classes.
#[derive(Module, Debug)]
pub struct Net {
    /// 1→6 channels, without bias.
    pub conv: Conv2d,
    /// The two-wing layer.
    pub norm: TwinsBatchNorm,
    /// Maps the means of the four quarters of each of the 6 channels to the classes.
    pub head: Linear,
}

impl Net {
    /// Creates a network for the given number of classes, whose weights depend only on the seed.
    pub fn new(classes: usize, seed: u64) -> Self {
        // The whole process shares the device's generator, so initial weights are drawn here instead.
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
