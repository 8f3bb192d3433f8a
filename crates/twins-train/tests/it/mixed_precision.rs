//! Training passes in another precision than the weights have.

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{DType, Device, Tensor};
use twins_attack::Precision;
use twins_train::{AwpConfig, ImageClassifier, Method, ProgressDisplay, TrainConfig, Trained, Trainer};
use twins_train_testing::{Net, Squares, config, trainer};

/// With every method, which includes a branch beside the model; with weight perturbation and with a step in parts.
#[test]
fn mixed_precision_trains_weights_in_single_precision() {
    let plain: fn(TrainConfig) -> TrainConfig = |config| config;
    let mut cases: Vec<_> = Method::ALL.map(|method| (method, plain)).to_vec();
    cases.push((Method::TwinsAt, |config| config.with_awp(AwpConfig::new(0.01))));
    cases.push((Method::TwinsTrades, |config| config.with_accumulate(2)));
    for (method, change) in cases {
        let fit = |precision| {
            let config = change(config(method).with_epochs(1)).with_precision(precision);
            trainer(config).fit(Net::new(4, 1), Squares::dataset(36, 1)).unwrap()
        };
        let (single, half) = (fit(Precision::F32), fit(Precision::Bf16));
        let weights = |trained: &Trained<Net>| trained.last.conv.weight.val().into_data();
        assert_eq!(weights(&half).dtype(), DType::F32);
        assert_ne!(weights(&half), weights(&single), "{method}");
        let means = |trained: &Trained<Net>| {
            let mean = trained.last.valid().norm.running_mean.value();
            mean.into_data().try_to_vec::<f32>().unwrap()
        };
        let largest = means(&single).iter().fold(0.0, |largest: f32, mean| largest.max(mean.abs()));
        for (half, single) in means(&half).into_iter().zip(means(&single)) {
            // Means of sums of nine products of values with 8 bits; without an update they would be 0.
            assert!((half - single).abs() <= 0.05 * largest, "{method}: {half}, {single}");
        }
        let (half, single) = (half.history[0].loss, single.history[0].loss);
        // bf16 has 8 bits: every value of a pass is off by up to 0.4 %.
        assert!((half - single).abs() < 0.02 * single, "{method}: {half}, {single}");
    }
}

/// A net with Burn's own batch normalisation.
#[derive(Module, Debug)]
struct Stock {
    norm: BatchNorm,
    head: Linear,
}

impl ImageClassifier for Stock {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.head.forward(self.norm.forward(images).flatten(1, 3))
    }
}

#[test]
fn what_mixed_precision_cannot_train_is_an_error() {
    let error = Trainer::<Net>::new(config(Method::At).with_precision(Precision::F16)).err().unwrap();
    assert!(error.to_string().contains("train with `bf16`"), "{error}");

    let device = Device::flex();
    let stock =
        Stock { norm: BatchNormConfig::new(1).init(&device), head: LinearConfig::new(64, 4).init(&device) };
    let config = config(Method::At).with_precision(Precision::Bf16);
    let trainer = Trainer::new(config).unwrap().with_progress(ProgressDisplay::Hidden);
    let error = trainer.fit(stock, Squares::dataset(36, 1)).err().unwrap().to_string();
    assert!(error.contains("the layer \"norm\" is Burn's BatchNorm"), "{error}");
}
