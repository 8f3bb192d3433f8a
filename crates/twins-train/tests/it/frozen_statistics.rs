//! `frozen-at` keeps the statistics of every batch normalisation and trains everything else.

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::{Device, Tensor};
use twins_train::{ImageClassifier, Method, ProgressDisplay, TrainConfig, Trainer, Weights};

use twins_train_testing::{Net, Squares, config, cpus};

/// A stock batch normalisation before a net with a two-wing layer.
#[derive(Module, Debug)]
struct Mixed {
    stock: BatchNorm,
    net: Net,
}

impl ImageClassifier for Mixed {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.net.logits(self.stock.forward(images))
    }
}

/// The paths whose values a training of one epoch changes.
fn changed(config: TrainConfig, devices: usize) -> Vec<String> {
    let model = Mixed { stock: BatchNormConfig::new(1).init(&Device::flex()), net: Net::new(4, 1) };
    let before = Weights::of(&model);
    let trainer = Trainer::new(config.with_epochs(1)).unwrap().with_progress(ProgressDisplay::Hidden);
    let trained = trainer.with_devices(cpus(devices)).fit(model, Squares::dataset(90, 1)).unwrap();
    let after = Weights::of(&trained.last);
    let pairs = before.tensors().iter().zip(after.tensors());
    pairs.filter(|(before, after)| before.1 != after.1).map(|(before, _)| before.0.clone()).collect()
}

const PARAMETERS: [&str; 7] = [
    "net.conv.weight",
    "net.head.bias",
    "net.head.weight",
    "net.norm.beta",
    "net.norm.gamma",
    "stock.beta",
    "stock.gamma",
];

#[test]
fn parameters_train_and_statistics_do_not() {
    for devices in [1, 2] {
        assert_eq!(changed(config(Method::FrozenAt), devices), PARAMETERS, "{devices} devices");
        let at = changed(config(Method::At), devices);
        for path in ["net.norm.running_mean", "net.norm.running_var", "stock.running_mean"] {
            assert!(at.iter().any(|changed| changed == path), "{path}");
        }
    }
}

#[test]
fn two_images_are_enough_for_a_micro_batch() {
    // Statistics of two images would be refused.
    let small = |method| config(method).with_batch_size(4).with_accumulate(2);
    assert_eq!(changed(small(Method::FrozenAt), 1), PARAMETERS);
    assert!(
        small(Method::FrozenAt).check_parts(1, true).is_ok()
            && small(Method::At).check_parts(1, true).is_err()
    );
}
