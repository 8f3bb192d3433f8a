//! Fine-tunes your own model on your own data with your own objective, using only the trainer of this library.
//!
//! `cargo run --release --example custom_training`

use std::sync::Arc;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Device, Tensor};
use burn_twins::attack::Norm;
use burn_twins::data::{DataError, ImageDataset, TensorDataset};
use burn_twins::train::{
    AdversaryConfig, ImageClassifier, Loss, Method, Objective, TrainConfig, Trainer, TrainingBatch, evaluate,
};

/// A model of plain Burn layers. It needs one method, which maps images in [0, 1] to logits.
#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    norm: BatchNorm,
    head: Linear,
}

impl ImageClassifier for Net {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.norm.forward(self.conv.forward(images)));
        self.head.forward(x.mean_dims(&[2, 3]).flatten(1, 3))
    }
}

/// Horizontal or vertical stripes, with noise from a hash of the pixel. Implement `ImageDataset` for images that are read as
/// needed.
fn stripes(len: usize, seed: usize) -> Result<Arc<dyn ImageDataset>, DataError> {
    let pixel = |index: usize, at: usize| {
        let position = [at / 12, at % 12][index % 2] + index / 2;
        let noise = (index * 144 + at + 99_991 * seed).wrapping_mul(2_654_435_761) >> 13;
        (if position % 4 < 2 { 95 } else { 145 }) + (noise % 15) as u8
    };
    let pixels = (0..len).flat_map(|index| (0..144).map(move |at| pixel(index, at))).collect();
    let labels = (0..len).map(|index| index % 2).collect();
    let dataset = TensorDataset::from_bytes([1, 12, 12], pixels, labels)?;
    Ok(Arc::new(dataset.with_classes(["across", "along"])?))
}

/// Adversarial logit pairing (Kannan et al., 2018): the cross-entropy on the adversarial examples, plus the mean squared distance
/// between their logits and those of the clean images.
struct LogitPairing(f64);

impl<M: ImageClassifier> Objective<M> for LogitPairing {
    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        let logits = model.logits(batch.adversarial.clone());
        let clean = model.logits(batch.clean.clone());
        let entropy = log_softmax(logits.clone(), 1).gather(1, batch.labels.clone().unsqueeze_dim(1)).mean();
        let total = entropy.neg() + (logits.clone() - clean).powi_scalar(2).mean().mul_scalar(self.0);
        Loss { adaptive: total.clone(), total, frozen: None, logits }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    device.seed(1);
    let net = Net {
        conv: Conv2dConfig::new([1, 8], [5, 5]).with_bias(false).init(&device),
        norm: BatchNormConfig::new(8).init(&device),
        head: LinearConfig::new(8, 2).init(&device),
    };
    let config = TrainConfig::new(Method::At).with_epochs(4).with_batch_size(32).with_learning_rate(0.1);
    let config = config.with_adversary(AdversaryConfig::new(Norm::Linf, 16.0 / 255.0, 3, 8.0 / 255.0));
    // The test uses the same protocol as the choice of the best checkpoint.
    let protocol = config.validation_protocol()?;
    let trainer = Trainer::new(config)?.with_objective(LogitPairing(0.5));
    let test = stripes(100, 1)?;
    let trained = trainer.fit(net.clone(), stripes(400, 0)?)?;
    for (name, net) in [("before", &net), ("after", &trained.best)] {
        let accuracy = evaluate(net, &test, Some(&protocol), 50)?;
        println!("{name}: clean {}, {protocol} {}", accuracy.clean, accuracy.robust.unwrap_or_default());
    }
    Ok(())
}
