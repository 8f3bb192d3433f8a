//! What travels between the host and a GPU in a step of training and in an iteration of an attack, as wgpu itself counts it: the graphics
//! interface logs every call of its own, below Burn and below this library.
//!
//! Every count is made in a process of its own, since other tests use the same device.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_twins::DeviceChoice;
use burn_twins::attack::{Norm, PgdConfig, Start, ThreatModel};
use burn_twins::nn::ImageClassifier;
use burn_twins::train::{AdversaryConfig, Method, StepRecord, TrainError, TrainingObserver};
use log::{LevelFilter, Log, Metadata, Record};
use twins_train_testing::{Net, Squares, config, trainer};

/// Steps of PGD in training.
const STEPS: usize = 10;

#[test]
fn a_training_step_reads_once_and_its_adversary_never() {
    if !burn_twins_tests::devices().iter().any(|(choice, _)| is_wgpu(choice)) {
        return;
    }
    for test in ["counted_training", "counted_adversary"] {
        let arguments = ["--exact", &format!("transfers::{test}"), "--ignored", "--nocapture"];
        let output = Command::new(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{text}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{test}: {text}{errors}");
    }
}

fn is_wgpu(choice: &DeviceChoice) -> bool {
    choice.to_string().starts_with("wgpu")
}

/// Reads, submissions to the queue and launches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    reads: usize,
    submissions: usize,
    launches: usize,
}

impl Counts {
    fn since(self, before: Self) -> Self {
        Self {
            reads: self.reads - before.reads,
            submissions: self.submissions - before.submissions,
            launches: self.launches - before.launches,
        }
    }
}

/// Counts what wgpu logs of its own calls.
#[derive(Default)]
struct Counter {
    reads: AtomicUsize,
    submissions: AtomicUsize,
    launches: AtomicUsize,
    /// Whether buffers of the current read have been mapped already: several tensors may be read at once.
    is_reading: AtomicBool,
}

impl Log for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("wgpu_core")
    }

    fn log(&self, record: &Record<'_>) {
        let text = if self.enabled(record.metadata()) { record.args().to_string() } else { return };
        if text.starts_with("Buffer::map_async") {
            if !self.is_reading.swap(true, Ordering::SeqCst) {
                self.reads.fetch_add(1, Ordering::SeqCst);
            }
        } else if text.starts_with("Queue::submit returned") {
            self.submissions.fetch_add(1, Ordering::SeqCst);
            self.is_reading.store(false, Ordering::SeqCst);
        } else if text.starts_with("ComputePass::dispatch") {
            self.launches.fetch_add(1, Ordering::SeqCst);
            self.is_reading.store(false, Ordering::SeqCst);
        }
    }

    fn flush(&self) {}
}

/// Starts to count; once in a process.
fn counter() -> &'static Counter {
    let counter: &'static Counter = Box::leak(Box::default());
    log::set_logger(counter).expect("the only logger of this process");
    log::set_max_level(LevelFilter::Trace);
    counter
}

impl Counter {
    fn counts(&self) -> Counts {
        let [reads, submissions, launches] =
            [&self.reads, &self.submissions, &self.launches].map(|count| count.load(Ordering::SeqCst));
        Counts { reads, submissions, launches }
    }
}

/// Notes the counts after every step.
struct StepCounts {
    counter: &'static Counter,
    counts: Arc<Mutex<Vec<Counts>>>,
}

impl TrainingObserver for StepCounts {
    fn step(&mut self, _step: &StepRecord) -> Result<(), TrainError> {
        self.counts.lock().unwrap().push(self.counter.counts());
        Ok(())
    }
}

fn wgpu() -> Device {
    "wgpu".parse::<DeviceChoice>().unwrap().open().unwrap()
}

#[test]
#[ignore = "run in a process of its own"]
fn counted_training() {
    let counter = counter();
    let counts = Arc::new(Mutex::new(Vec::new()));
    let adversary = AdversaryConfig::new(Norm::Linf, 0.05, STEPS, 0.01);
    let config = config(Method::TwinsAt).with_epochs(1).with_adversary(adversary);
    trainer(config)
        .with_devices(vec![wgpu()])
        .with_observer(StepCounts { counter, counts: counts.clone() })
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
        .unwrap();
    let counts = counts.lock().unwrap();
    let steps: Vec<Counts> = counts.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    println!("a step of TWINS-AT with PGD-{STEPS}: {steps:?}");
    // The last step also compares the weights with those before it, for the epoch's report.
    let (_, inner) = steps.split_last().unwrap();
    assert!(inner.len() >= 2 && inner.iter().all(|step| step.reads == 1), "{steps:?}");
}

#[test]
#[ignore = "run in a process of its own"]
fn counted_adversary() {
    let device = wgpu();
    let victim = victim_on(&device);
    let images = Tensor::<4>::full([8, 1, 8, 8], 0.5, &device);
    let counter = counter();
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let pgd = PgdConfig::new(ThreatModel::new(norm, 0.5).unwrap(), STEPS, 0.1).with_start(Start::Uniform);
        let pgd = pgd.build().unwrap();
        let before = counter.counts();
        let labels: Vec<usize> = (0..8).map(|image| image % 4).collect();
        let points = pgd.perturb(&victim, images.clone(), &labels, &[0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
        let during = counter.counts().since(before);
        // Everything that was queued has run, and was counted, when the result has been looked at.
        assert!(points.into_data().iter::<f32>().all(|value| (0.0..=1.0).contains(&value)));
        let all = counter.counts().since(before);
        println!("PGD-{STEPS} in {norm}: {during:?}, {all:?} with the result");
        // In L1 the host chooses the largest gradients and projects: it reads gradient, images and points.
        let inside = if norm == Norm::L1 { 3 * STEPS } else { 0 };
        assert_eq!((during.reads, all.reads), (inside, inside + 1), "{norm}");
    }
}

fn victim_on(device: &Device) -> impl Fn(Tensor<4>) -> Tensor<2> + Sync {
    let net = Net::new(4, 1).to_device(device).valid();
    move |images| net.logits(images)
}
