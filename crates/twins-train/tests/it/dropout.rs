//! A model that draws itself, from Burn's generator, resumes to the same bits.
//!
//! The generator belongs to the process, and every training seeds it: this test runs in a process of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig};
use burn::tensor::{Device, Distribution, Tensor};
use twins_nn::Wing;
use twins_testing::in_own_process;
use twins_train::{
    At, Ended, ExistingRun, ImageClassifier, Loss, Method, Objective, ProbeConfig, ProgressDisplay,
    TrainConfig, Trained, Trainer, TrainingBatch, Tuning, Weights,
};
use twins_train_testing::{Net, Squares, config, cpus};

/// Stock batch normalisation and dropout before a net.
#[derive(Module, Debug)]
struct Thinned {
    norm: BatchNorm,
    dropout: Dropout,
    net: Net,
}

impl Thinned {
    fn new(dropout: f64) -> Self {
        Self {
            norm: BatchNormConfig::new(1).init(&Device::flex()),
            dropout: DropoutConfig::new(dropout).init(),
            net: Net::new(4, 1),
        }
    }
}

impl ImageClassifier for Thinned {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.net.logits(self.dropout.forward(self.norm.forward(images)))
    }
}

/// AT that notes a number drawn in every pass, and may raise the stop flag in one.
#[derive(Clone, Default)]
struct Noting {
    drawn: Arc<Mutex<Vec<f32>>>,
    stop: Arc<AtomicBool>,
    /// The pass in which it is raised.
    stop_at: Option<usize>,
}

impl Objective<Thinned> for Noting {
    fn wing(&self) -> Wing {
        Objective::<Thinned>::wing(&At)
    }

    fn loss(&self, model: &Thinned, batch: &TrainingBatch) -> Loss {
        let loss = At.loss(model, batch);
        let number = Tensor::<1>::random([1], Distribution::Default, &Device::flex()).into_scalar::<f32>();
        let mut drawn = self.drawn.lock().unwrap();
        drawn.push(number);
        if self.stop_at == Some(drawn.len()) {
            self.stop.store(true, Ordering::Relaxed);
        }
        loss
    }
}

fn trainer(config: &TrainConfig, objective: &Noting) -> Trainer<Thinned> {
    Trainer::new(config.clone())
        .unwrap()
        .with_progress(ProgressDisplay::Hidden)
        .with_objective(objective.clone())
        .with_stop_flag(objective.stop.clone())
}

fn straight(config: &TrainConfig, dropout: f64) -> (Trained<Thinned>, Vec<f32>) {
    let objective = Noting::default();
    let trained = trainer(config, &objective).fit(Thinned::new(dropout), Squares::dataset(90, 1)).unwrap();
    let drawn = objective.drawn.lock().unwrap().clone();
    (trained, drawn)
}

/// Stopped in every pass that is named, each time with numbers drawn by others in between.
fn interrupted(config: &TrainConfig, stops: &[usize]) -> (Trained<Thinned>, Vec<f32>) {
    let folder = tempfile::tempdir().unwrap();
    let drawn = Arc::new(Mutex::new(Vec::new()));
    let go = |stop_at| {
        Device::flex().seed(77);
        let objective = Noting { drawn: drawn.clone(), stop: Arc::default(), stop_at };
        trainer(config, &objective)
            .with_run_directory(folder.path(), ExistingRun::Resume)
            .fit(Thinned::new(0.5), Squares::dataset(90, 1))
            .unwrap()
    };
    for stop in stops {
        assert_eq!(go(Some(*stop)).ended, Ended::Interrupted);
    }
    let trained = go(None);
    let drawn = drawn.lock().unwrap().clone();
    (trained, drawn)
}

#[test]
fn a_run_with_dropout_resumes_to_the_same_bits() {
    in_own_process("dropout::a_run_with_dropout_resumes_to_the_same_bits", resumes_to_the_same_bits);
}

fn resumes_to_the_same_bits() {
    let plain = config(Method::At).with_ema_decay(0.9);
    let perturbed = plain.clone().with_awp(twins_train::AwpConfig::new(0.01));
    let probed = plain.clone().with_tuning(Tuning::ProbeThenFull(ProbeConfig::new(1)));
    // Fifteen steps; the passes in which they are stopped.
    for (config, passes, stops) in [
        (plain.clone(), 15, [1, 5, 8]),
        (plain.clone().with_accumulate(2), 30, [2, 10, 16]),
        (perturbed, 30, [2, 10, 16]),
        // The probe's five steps have an objective of their own, which notes nothing.
        (probed, 10, [2, 5, 7]),
    ] {
        let (expected, numbers) = straight(&config, 0.5);
        assert_eq!(numbers.len(), passes);
        assert!(numbers.iter().all(|a| numbers.iter().filter(|b| a == *b).count() == 1), "{numbers:?}");
        let (found, again) = interrupted(&config, &stops);
        assert_eq!(numbers, again);
        assert_eq!(Weights::of(&found.last), Weights::of(&expected.last));
        assert_eq!(Weights::of(&found.best), Weights::of(&expected.best));
        // It does drop, by the seed.
        assert_ne!(Weights::of(&straight(&config, 0.0).0.last), Weights::of(&expected.last));
        let other = straight(&config.with_seed(6), 0.5).1;
        assert!(other.iter().all(|number| !numbers.contains(number)));
    }

    // Of a device that stands in the list alone, too.
    let objective = Noting::default();
    let listed = trainer(&plain, &objective)
        .with_devices(cpus(1))
        .fit(Thinned::new(0.5), Squares::dataset(90, 1))
        .unwrap();
    assert_eq!(Weights::of(&listed.last), Weights::of(&straight(&plain, 0.5).0.last));
}

#[test]
fn a_probe_does_not_drop() {
    let probe = config(Method::At).with_epochs(1).with_tuning(Tuning::LinearProbe);
    let [dropped, whole] = [0.5, 0.0].map(|dropout| Weights::of(&straight(&probe, dropout).0.last));
    assert_eq!(dropped, whole);
}
