//! Steps that are divided into micro-batches or among devices: here, handles of the same CPU.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use twins_attack::{Norm, Start, ThreatModel};
use twins_nn::{HeadError, Wing};
use twins_train::{
    AdversaryConfig, At, AwpConfig, Ended, EvaluationProtocol, ImageClassifier, Loss, Method, Objective,
    ProgressDisplay, TrainConfig, Trained, Trainer, TrainingBatch, Weights, evaluate, evaluate_on,
};
use twins_train_testing::{Net, Squares, config, cpus, difference, trainer};

/// A net without batch normalisation: no sample's logits depend on another's.
#[derive(Module, Debug)]
struct Plain {
    hidden: Linear,
    head: Linear,
}

impl Plain {
    fn new() -> Self {
        let device = Device::flex();
        let mut net = Self {
            hidden: LinearConfig::new(64, 12).init(&device),
            head: LinearConfig::new(12, 4).init(&device),
        };
        // The device's generator is the process's: the values are a fixed pattern instead.
        let pattern = |old: Tensor<2>| {
            let values: Vec<f32> =
                (0..old.shape().num_elements()).map(|i| ((i * 37) % 101) as f32 / 250.0 - 0.2).collect();
            let new = Tensor::<1>::from_floats(values.as_slice(), &old.device()).reshape(old.dims());
            new.set_require_grad(old.is_require_grad())
        };
        net.hidden.weight = net.hidden.weight.map(pattern);
        net.head.weight = net.head.weight.map(pattern);
        for layer in [&mut net.hidden, &mut net.head] {
            let zero = |old: Tensor<1>| old.clone().zeros_like().set_require_grad(old.is_require_grad());
            layer.bias = layer.bias.take().map(|bias| bias.map(zero));
        }
        net
    }
}

impl ImageClassifier for Plain {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.head.forward(relu(self.hidden.forward(images.flatten(1, 3))))
    }

    fn head(&self) -> Result<String, HeadError> {
        Ok("head".to_owned())
    }
}

/// The steps of L2 are smooth in the gradient: a sign that rounding turns would not be.
fn smooth(method: Method) -> TrainConfig {
    config(method).with_epochs(2).with_adversary(AdversaryConfig::new(Norm::L2, 0.3, 2, 0.2))
}

fn fit_plain(config: TrainConfig, devices: usize, images: usize) -> Trained<Plain> {
    let trainer = Trainer::new(config).unwrap().with_progress(ProgressDisplay::Hidden);
    trainer.with_devices(cpus(devices)).fit(Plain::new(), Squares::dataset(images, 1)).unwrap()
}

fn fit(config: TrainConfig, devices: usize) -> Trained<Net> {
    fit_images(config, devices, 90)
}

fn fit_images(config: TrainConfig, devices: usize, images: usize) -> Trained<Net> {
    trainer(config).with_devices(cpus(devices)).fit(Net::new(4, 1), Squares::dataset(images, 1)).unwrap()
}

/// Float32 roundings (6e-8) of each step's sums in another order, carried through ten steps.
const TOLERANCE: f32 = 1e-5;

#[test]
fn without_batch_normalisation_a_divided_step_is_the_whole_one() {
    for method in [Method::At, Method::Trades, Method::Mart, Method::AutoLora, Method::Standard] {
        // A norm that the gradient exceeds, so that clipping before the sum would show.
        let config = smooth(method)
            .with_gradient_clip(0.05)
            .with_ema_decay(0.9)
            .with_awp(AwpConfig::new(0.01).with_warmup_epochs(1));
        let whole = fit_plain(config.clone(), 1, 90);
        assert!(whole.history.iter().all(|epoch| epoch.gradient_norm > 0.1), "{method}: nothing is clipped");
        for (devices, accumulate) in [(1, 2), (1, 3), (1, 8), (2, 1), (3, 1), (2, 3)] {
            let divided = fit_plain(config.clone().with_accumulate(accumulate), devices, 90);
            let (off, path) = difference(&whole.last, &divided.last);
            assert!(off <= TOLERANCE, "{method} on {devices} by {accumulate}: {off} ({path})");
            for (a, b) in whole.history.iter().zip(&divided.history) {
                assert!((a.loss - b.loss).abs() < 1e-5 * a.loss, "{method}: {} and {}", a.loss, b.loss);
                assert!((a.gradient_norm - b.gradient_norm).abs() < 1e-4 * a.gradient_norm);
                assert_eq!(a.train_adversarial_accuracy.total, b.train_adversarial_accuracy.total);
                assert_eq!(a.steps, b.steps);
            }
        }
        // The comparison can tell trainings apart.
        let (off, _) = difference(&whole.last, &fit_plain(config.with_seed(6), 1, 90).last);
        assert!(off > 1e3 * TOLERANCE, "{off}");
    }
}

#[test]
fn batches_that_do_not_divide_evenly() {
    for batch_size in [4, 5, 7, 11] {
        let config = smooth(Method::At).with_epochs(1).with_batch_size(batch_size);
        let whole = fit_plain(config.clone(), 1, 24);
        for devices in 2..=batch_size / 2 {
            let (off, path) = difference(&whole.last, &fit_plain(config.clone(), devices, 24).last);
            assert!(off <= TOLERANCE, "{batch_size} on {devices}: {off} ({path})");
        }
    }
}

#[test]
fn two_synchronised_devices_are_two_micro_batches_to_the_bit() {
    for method in Method::ALL {
        let config = config(method).with_ema_decay(0.9).with_awp(AwpConfig::new(0.01).with_warmup_epochs(1));
        let accumulated = fit(config.clone().with_accumulate(2), 1);
        let parallel = fit(config.clone().with_sync_statistics(true), 2);
        assert_eq!(Weights::of(&accumulated.last), Weights::of(&parallel.last), "{method}");
        assert_eq!(Weights::of(&accumulated.best), Weights::of(&parallel.best), "{method}");
        assert_eq!(accumulated.best_epoch, parallel.best_epoch);
        let losses =
            |trained: &Trained<Net>| -> Vec<f64> { trained.history.iter().map(|epoch| epoch.loss).collect() };
        assert_eq!(losses(&accumulated), losses(&parallel), "{method}");
        assert_ne!(Weights::of(&accumulated.last), Weights::of(&fit(config, 1).last), "{method}");
    }
}

#[test]
fn the_same_devices_give_the_same_bits() {
    for (method, synchronised) in [(Method::At, false), (Method::TwinsAt, true), (Method::Trades, false)] {
        // Three batches of 60, in six parts each.
        let config = config(method).with_batch_size(60).with_accumulate(2).with_sync_statistics(synchronised);
        let [first, second] = [0, 1].map(|_| fit_images(config.clone(), 3, 200));
        assert_eq!(Weights::of(&first.last), Weights::of(&second.last), "{method}");
        // The wings stay what they are, and the metrics are those of the method.
        assert_eq!(first.history[0].loss_frozen.is_some(), method.is_two_wing());
        assert!(first.best_epoch.unwrap().clean.percent() > 50.0, "{method} does not learn");
    }
}

/// One step, as the state that a stopped run leaves.
fn one_step(config: TrainConfig, devices: usize) -> Weights {
    let stop = Arc::new(AtomicBool::new(true));
    let trained = trainer(config)
        .with_devices(cpus(devices))
        .with_stop_flag(stop)
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
        .unwrap();
    assert_eq!(trained.ended, Ended::Interrupted);
    Weights::of(&trained.last)
}

#[test]
fn running_statistics_are_per_device_or_averaged() {
    let config = config(Method::At);
    let whole = one_step(config.clone(), 1);
    let halves = one_step(config.clone().with_accumulate(2), 1);
    let own = one_step(config.clone(), 2);
    let averaged = one_step(config.with_sync_statistics(true), 2);
    let vector = |weights: &Weights, path: &str| weights.tensors()[path].try_to_vec::<f32>().unwrap();
    let off = |a: &Weights, b: &Weights, path: &str| -> f32 {
        vector(a, path).iter().zip(vector(b, path)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    // The mean of equal parts' means is the whole's; the variance within parts leaves out that between them.
    assert!(off(&whole, &halves, "norm.running_mean") < 1e-7);
    assert!(off(&whole, &halves, "norm.running_var") > 1e-6);
    // The step itself does not depend on what is kept of the statistics.
    assert_eq!(own.tensors()["conv.weight"], averaged.tensors()["conv.weight"]);
    assert_eq!(averaged, halves);
    assert!(off(&own, &averaged, "norm.running_mean") > 1e-6);
}

/// AT that notes which adversary's image belongs to which clean one, to the bit.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<BTreeMap<Vec<u32>, Vec<u32>>>>);

impl<M: ImageClassifier> Objective<M> for Noted {
    fn wing(&self) -> Wing {
        Wing::AdaptiveTraining
    }

    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        let rows = |images: &Tensor<4>| -> Vec<Vec<u32>> {
            let values = images.clone().inner().try_into_vec_as::<f32>().unwrap();
            values.chunks(64).map(|row| row.iter().map(|value| value.to_bits()).collect()).collect()
        };
        self.0.lock().unwrap().extend(rows(&batch.clean).into_iter().zip(rows(&batch.adversarial)));
        At.loss(model, batch)
    }
}

#[test]
fn random_starts_do_not_depend_on_the_division() {
    // Steps of no length: the images are their random starts.
    let adversary = AdversaryConfig::new(Norm::Linf, 0.05, 1, 0.0);
    let config = config(Method::At).with_epochs(1).with_batch_size(30).with_adversary(adversary);
    let starts = |devices: usize, accumulate: usize| {
        let noted = Noted::default();
        let trainer = trainer(config.clone().with_accumulate(accumulate)).with_objective(noted.clone());
        trainer.with_devices(cpus(devices)).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap();
        std::mem::take(&mut *noted.0.lock().unwrap())
    };
    let whole = starts(1, 1);
    assert_eq!(whole.len(), 81);
    assert!(whole.iter().all(|(clean, adversarial)| clean != adversarial));
    for (devices, accumulate) in [(1, 2), (3, 1), (2, 3)] {
        assert!(starts(devices, accumulate) == whole, "{devices} devices, {accumulate} micro-batches");
    }
}

#[test]
fn validation_on_several_devices_counts_the_same() {
    let (net, data) = (Net::new(4, 1), Squares::dataset(50, 2));
    let threat = ThreatModel::new(Norm::Linf, 0.1).unwrap();
    let attack = EvaluationProtocol::new(threat, 3).with_step_size(0.05).with_start(Start::Uniform);
    let one = evaluate(&net, &data, Some(&attack), 8).unwrap();
    assert!(one.robust.unwrap().correct < one.clean.correct, "{one:?}");
    for devices in 1..=9 {
        assert_eq!(evaluate_on(&net, &data, Some(&attack), 8, &cpus(devices)).unwrap(), one);
    }
    assert_eq!(evaluate_on(&net, &data, None, 8, &cpus(2)).unwrap().robust, None);
    let message = evaluate_on(&net, &data, None, 8, &[]).unwrap_err().to_string();
    assert!(message.contains("list of devices is empty"), "{message}");
}
