//! A long training and a long series of evaluations, in one process, do not grow and do not become slower.
#![cfg(target_os = "linux")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_twins::DatasetSource;
use burn_twins::attack::{
    AutoAttackConfig, ExistingJournal, Journal, Norm, Observer, Progress, Replica, RobustnessEvaluation,
    SampleStream, ThreatModel, Version,
};
use burn_twins::train::{
    AdversaryConfig, ExistingRun, ImageClassifier, Method, ObserverKind, ProgressDisplay, Schedule,
    StepRecord, TrainConfig, TrainError, Trainer, TrainingObserver,
};
use twins_testing::in_own_process;
use twins_train_testing::{Net, Squares};

use crate::level::{Limits, Series, Usage};

const BATCH: usize = 64;
const STEPS_PER_EPOCH: usize = 25;

/// The allocator's own noise in this range of steps is below 8 MiB (`memory` in twins-train). A forward pass that is kept in every
/// training step, 100 kB of activations, would be 30 MiB, and a batch of images that is kept in every attack batch 12 MiB.
const SHORT: Limits = Limits { memory: 8.0, timed: false };

/// The allocator has found its level after the first 400 steps, which are not counted. One batch of images that is kept in every step or
/// batch would be 25 MiB in the training and 125 MiB in the evaluations. 4 MiB are 2.6 kB per step and 0.3 kB per attack batch.
const LONG: Limits = Limits { memory: 4.0, timed: true };

#[test]
fn four_hundred_steps_and_two_thousand_batches_do_not_grow() {
    in_own_process("long_run::four_hundred_steps_and_two_thousand_batches_do_not_grow", || {
        run(16, 2000, SHORT)
    });
}

#[test]
#[ignore = "some minutes, and its times need a machine that does nothing else"]
fn two_thousand_steps_and_twenty_thousand_batches_do_not_grow() {
    in_own_process("long_run::two_thousand_steps_and_twenty_thousand_batches_do_not_grow", || {
        run(80, 20_000, LONG)
    });
}

fn run(epochs: usize, batches: usize, limits: Limits) {
    let folder = tempfile::tempdir().unwrap();
    let (net, training) = train(epochs, folder.path());
    let evaluations = evaluate(&net, batches, folder.path());
    let mut problems = training.problems("training", limits);
    problems.extend(evaluations.problems("evaluations", limits));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A training with a run directory, checkpoints within epochs, a progress bar and all files of results.
fn train(epochs: usize, folder: &Path) -> (Net, Series) {
    let config = TrainConfig::new(Method::TwinsAt)
        .with_epochs(epochs)
        .with_batch_size(BATCH)
        .with_learning_rate(0.01)
        .with_gradient_clip(1.0)
        .with_schedule(Schedule::Constant)
        .with_adversary(AdversaryConfig::new(Norm::Linf, 0.05, 2, 0.04))
        .with_checkpoint_steps(10)
        .with_seed(5);
    let series = Arc::new(Mutex::new(Series::default()));
    let run = folder.join("run");
    let mut trainer = Trainer::new(config)
        .unwrap()
        .with_run_directory(&run, ExistingRun::Refuse)
        .with_validation_set(Squares::dataset(64, 2))
        .with_progress(ProgressDisplay::Auto);
    for kind in ObserverKind::ALL {
        trainer = trainer.with_observer(kind.observer(run.join("log").join(kind.name())));
    }
    let trained = trainer
        .with_observer(Steps(series.clone()))
        .fit(Net::new(4, 1), Squares::dataset(BATCH * STEPS_PER_EPOCH, 1))
        .unwrap();
    assert!(trained.observer_errors.is_empty(), "{:?}", trained.observer_errors);
    assert!(run.join("last.safetensors").exists() && run.join("best.safetensors").exists());
    let series = std::mem::take(&mut *series.lock().unwrap());
    assert_eq!(series.times.len(), epochs * STEPS_PER_EPOCH);
    (trained.best.valid(), series)
}

/// Evaluations with a shortened AutoAttack, each with a journal, until so many batches have been attacked. All do the same work.
fn evaluate(net: &Net, batches: usize, folder: &Path) -> Series {
    let victim = |images: Tensor<4>| net.logits(images);
    let source = DatasetSource::new(Squares::dataset(96, 3)).unwrap();
    let samples = SampleStream::new(&source, &Device::flex()).unwrap().with_batch_size(32).unwrap();
    let config = AutoAttackConfig::new(ThreatModel::new(Norm::Linf, 0.02).unwrap(), Version::Standard);
    let path = folder.join("evaluation.journal");
    let evaluation = RobustnessEvaluation::autoattack(config.with_steps(10).with_queries(100))
        .unwrap()
        .with_journal(&path, "long run", ExistingJournal::Replace);
    let replicas = [Replica::new(&victim, Device::flex())];
    let mut series = Series::default();
    let mut first = None;
    while series.times.len() < batches {
        let before = series.times.len();
        let mut observer = Batches { series: &mut series, every: batches / 200, clock: Instant::now() };
        let report = evaluation.evaluate_stream(&replicas, &samples, &mut observer).unwrap();
        // With less, this would test how evaluations begin and end, or never end.
        assert!(series.times.len() >= before + 50, "the model leaves the attacks nothing to do: {report}");
        assert!(!Journal::read(&path).unwrap().unwrap().outcomes().is_empty());
        Journal::remove(&path).unwrap();
        let expected = first.get_or_insert_with(|| report.samples.clone());
        assert_eq!(*expected, report.samples, "the same evaluation again");
    }
    series
}

/// Records every training step.
struct Steps(Arc<Mutex<Series>>);

impl TrainingObserver for Steps {
    fn step(&mut self, step: &StepRecord) -> Result<(), TrainError> {
        let mut series = self.0.lock().unwrap();
        series.times.push((0, step.seconds));
        if step.step.is_multiple_of(5) {
            series.usage.push(Usage::now());
        }
        Ok(())
    }
}

/// Records every batch of an evaluation; the kinds of work are its attacks.
struct Batches<'a> {
    series: &'a mut Series,
    /// The number of batches between two samples of what the process holds.
    every: usize,
    clock: Instant,
}

impl Observer for Batches<'_> {
    fn progress(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        self.series.times.push((progress.stage.0, self.clock.elapsed().as_secs_f64()));
        if self.series.times.len().is_multiple_of(self.every) {
            self.series.usage.push(Usage::now());
        }
        self.clock = Instant::now();
        ControlFlow::Continue(())
    }
}
