//! Attacks a model that is built only of Burn's own layers and does not depend on this library.
//!
//! `cargo run --release --example attack_stock_model`
//!
//! A small net with stock `BatchNorm` learns which quarter of a noisy image is brighter. AutoAttack then measures
//! how robust it is. The only thing that the attack needs from a model is a function from images to logits.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_twins::DeviceChoice;
use burn_twins::attack::{
    AutoAttackConfig, Draws, Norm, RobustnessEvaluation, Samples, Silent, ThreatModel, Version,
};

#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    norm: BatchNorm,
    head: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        Self {
            conv: Conv2dConfig::new([1, 8], [4, 4]).with_stride([4, 4]).init(device),
            norm: BatchNormConfig::new(8).init(device),
            head: LinearConfig::new(8 * 4, 4).init(device),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = relu(self.norm.forward(self.conv.forward(images)));
        self.head.forward(features.flatten::<2>(1, 3))
    }
}

/// Grey noise of 8 × 8 pixels, brighter in the quarter that the label specifies.
fn images(count: usize, seed: u64, device: &Device) -> (Tensor<4>, Vec<usize>) {
    let labels: Vec<usize> = (0..count).map(|i| i % 4).collect();
    let mut draws = Draws::new(seed, 0, "images", 0);
    let mut pixels = Vec::with_capacity(count * 64);
    for label in &labels {
        for (row, column) in (0..64).map(|i| (i / 8, i % 8)) {
            let bright = row / 4 * 2 + column / 4 == *label;
            pixels.push(0.6 * draws.uniform() + if bright { 0.25 } else { 0.1 });
        }
    }
    (Tensor::from_data(TensorData::new(pixels, [count, 1, 8, 8]), device), labels)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = DeviceChoice::Cpu.open()?;
    device.seed(0);
    let training = device.clone().autodiff();
    let mut net = Net::new(&training);
    let mut adam = AdamConfig::new().init();
    for step in 0..150 {
        let (batch, labels) = images(64, step, &training);
        let labels: Vec<i64> = labels.into_iter().map(|label| label as i64).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [64]), &training);
        let loss = CrossEntropyLossConfig::new().init(&training).forward(net.forward(batch), labels);
        let gradients = GradientsParams::from_grads(loss.backward(), &net);
        net = adam.step(0.01, net, gradients);
    }

    // The model and its training use only Burn. The attack starts here.
    let net = net.valid();
    let (test, labels) = images(100, 1_000_000, &device);
    let samples = Samples::new(test, labels)?;
    let config = AutoAttackConfig::new(ThreatModel::new(Norm::Linf, 8.0 / 255.0)?, Version::Standard);
    let autoattack = RobustnessEvaluation::autoattack(config.with_queries(500))?;
    let victim = |images: Tensor<4>| net.forward(images);
    println!("{}", autoattack.evaluate(&victim, &samples, &mut Silent)?.report);
    Ok(())
}
