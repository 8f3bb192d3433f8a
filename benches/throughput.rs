//! Images per second of PGD-10 and of whole steps of TWINS-AT, at sizes that keep a GPU busy, on every device of `TWINS_DEVICES`.
//!
//! `cargo bench --bench throughput --features cuda -- [NETWORK:SIZE:BATCH:CLASSES...] [--precisions f32,bf16] [--seconds 3]`
//!
//! The precision is that of the attack's forward and backward passes. In the rows of TWINS-AT that are marked `-mixed`, such as
//! `bf16-mixed`, the update has it as well. Each step of TWINS-AT continues from the weights of the previous step, as in training. The
//! program waits for the device only at the end of a block of steps. With 0 seconds everything runs once, as a test.
//! `benches/compare/gpu.py` measures the same in PyTorch.

use std::hint::black_box;
use std::str::FromStr;
use std::time::Instant;

use burn::tensor::{Device, Distribution, Int, Tensor};
use burn_twins::DeviceChoice;
use burn_twins::attack::{AtPrecision, Norm, Pgd, Precision};
use burn_twins::models::{ModelConfig, Net};
use burn_twins::nn::TwinsModule;
use burn_twins::train::{
    AdversaryConfig, Method, MixedPrecision, Objective, Sgd, StepSettings, TrainConfig, TrainingBatch, step,
};
use burn_twins_tests::record;
use serde_json::json;

/// The cases that are measured without arguments.
const CASES: [&str; 4] =
    ["resnet18-cifar:32:128:10", "resnet18-cifar:32:512:10", "wrn-28-10:32:128:10", "resnet50:224:64:100"];

/// Number of warm-up runs. The first compiles and selects kernels, and the next ones fuse operations.
const WARM_UPS: usize = 3;

/// Number of blocks of runs. The median is reported.
const BLOCKS: usize = 3;

/// A network, and the sizes of its images and batches.
struct Case {
    network: String,
    image_size: usize,
    batch: usize,
    classes: usize,
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("`{text}` is not of the form NETWORK:SIZE:BATCH:CLASSES");
        let [network, sizes @ ..]: [&str; 4] =
            text.split(':').collect::<Vec<_>>().try_into().map_err(|_| malformed())?;
        match sizes.map(str::parse) {
            [Ok(image_size), Ok(batch), Ok(classes)] => {
                Ok(Self { network: network.to_owned(), image_size, batch, classes })
            }
            _ => Err(malformed()),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Work {
    Pgd10,
    TwinsAt,
    /// TWINS-AT with the update in the precision of the attack.
    MixedTwinsAt,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Pgd10 => "pgd-10",
            Self::TwinsAt | Self::MixedTwinsAt => "twins-at",
        }
    }
}

/// The state of a training run between steps.
struct Training {
    /// `None` during a step.
    net: Option<Net>,
    objective: Box<dyn Objective<Net>>,
    optimiser: Sgd,
    adversary: Pgd,
    precision: Precision,
    images: Tensor<4>,
    labels: Vec<usize>,
}

impl Training {
    fn new(case: &Case, precision: Precision, work: Work, device: &Device) -> Self {
        device.seed(0);
        let architecture = case.network.parse().expect("an architecture");
        let net =
            ModelConfig::new(architecture, case.classes).init(&device.clone().autodiff()).expect("a network");
        let update = if work == Work::MixedTwinsAt { precision } else { Precision::F32 };
        let objective = Method::TwinsAt.objective::<Net>(&TrainConfig::new(Method::TwinsAt));
        let objective: Box<dyn Objective<Net>> = Box::new(MixedPrecision::new(objective, update));
        let shape = [case.batch, 3, case.image_size, case.image_size];
        Self {
            net: Some(net.with_wing(objective.wing())),
            objective,
            optimiser: Sgd::new(0.9, 1e-4),
            adversary: AdversaryConfig::new(Norm::Linf, 8.0 / 255.0, 10, 2.0 / 255.0)
                .build()
                .expect("an adversary"),
            precision,
            images: Tensor::random(shape, Distribution::Uniform(0.0, 1.0), device),
            labels: (0..case.batch).map(|index| index % case.classes).collect(),
        }
    }

    /// Returns the mean seconds of one of `runs` runs.
    fn seconds(&mut self, work: Work, runs: usize) -> f64 {
        let device = self.images.device();
        device.sync().expect("the device computes");
        let start = Instant::now();
        for _ in 0..runs {
            match work {
                Work::Pgd10 => drop(black_box(self.adversarial())),
                Work::TwinsAt | Work::MixedTwinsAt => self.step(),
            }
        }
        device.sync().expect("the device computes");
        start.elapsed().as_secs_f64() / runs as f64
    }

    fn adversarial(&self) -> Tensor<4> {
        let copy = self.precision.copy(self.net.as_ref().expect("no step is being made"));
        let victim = AtPrecision::new(|images: Tensor<4>| copy.forward(images), self.precision);
        let keys: Vec<u64> = (0..self.labels.len() as u64).collect();
        self.adversary.perturb(&victim, self.images.clone(), &self.labels, &keys).expect("finite logits")
    }

    fn step(&mut self) {
        let [clean, adversarial] = [self.images.clone(), self.adversarial()].map(Tensor::from_inner);
        let labels: Vec<i64> = self.labels.iter().map(|label| *label as i64).collect();
        let labels = Tensor::<1, Int>::from_data(labels.as_slice(), &clean.device());
        let batch = TrainingBatch::new(clean, adversarial, labels);
        let net = self.net.take().expect("no step is being made");
        let settings = StepSettings::new(1e-3);
        let (net, report) =
            step(net, self.objective.as_ref(), &mut self.optimiser, &batch, &settings).expect("a step");
        // A step with non-finite values skips the update, which takes less time.
        assert!(report.non_finite().is_none(), "the work must not depend on the device");
        self.net = Some(net);
    }
}

/// Runs the benchmark.
pub fn main() {
    let mut cases: Vec<Case> = Vec::new();
    let mut precisions = vec![Precision::F32, Precision::Bf16];
    let mut seconds = 3.0;
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--precisions" => {
                precisions =
                    value().split(',').map(|name| name.parse().unwrap_or_else(|e| panic!("{e}"))).collect();
            }
            "--seconds" => seconds = value().parse().expect("a number of seconds"),
            case => cases.push(case.parse().unwrap_or_else(|e| panic!("{e}"))),
        }
    }
    if cases.is_empty() {
        cases = CASES.map(|case| case.parse().expect("a case")).into();
    }
    for (choice, device) in burn_twins_tests::devices() {
        for case in &cases {
            for precision in &precisions {
                if let Err(error) = precision.check(&device) {
                    println!("{choice}: {error}");
                    continue;
                }
                // Each work has its own training run, so that none reuses the memory of another.
                let works = [Work::Pgd10, Work::TwinsAt, Work::MixedTwinsAt];
                for work in works.into_iter().take(if *precision == Precision::F32 { 2 } else { 3 }) {
                    measure(&choice, case, *precision, work, seconds, &device);
                }
            }
        }
    }
}

fn measure(
    choice: &DeviceChoice,
    case: &Case,
    precision: Precision,
    work: Work,
    seconds: f64,
    device: &Device,
) {
    let mut training = Training::new(case, precision, work, device);
    let begin = Instant::now();
    let (warm_ups, blocks) = if seconds > 0.0 { (WARM_UPS, BLOCKS) } else { (0, 1) };
    for _ in 0..warm_ups {
        training.seconds(work, 1);
    }
    let warm_up = begin.elapsed().as_secs_f64();
    let once = if seconds > 0.0 { training.seconds(work, 1) } else { 1.0 };
    let runs = (seconds / blocks as f64 / once).clamp(1.0, 1000.0) as usize;
    let mut times: Vec<f64> = (0..blocks).map(|_| training.seconds(work, runs)).collect();
    times.sort_by(f64::total_cmp);
    let [fastest, median, slowest] = [times[0], times[blocks / 2], times[blocks - 1]];
    let Case { network, image_size, batch, .. } = case;
    let rate = |seconds: f64| *batch as f64 / seconds;
    let precision = match work {
        Work::MixedTwinsAt => format!("{precision}-mixed"),
        _ => precision.to_string(),
    };
    println!(
        "{choice}: {network}, {batch} images of {image_size} × {image_size}, {}, {precision}: {:.1} images per second ({:.1} to {:.1}), \
         {:.2} ms; warm-up {warm_up:.1} s",
        work.name(),
        rate(median),
        rate(slowest),
        rate(fastest),
        1e3 * median,
    );
    record(&json!({
        "bench": "throughput", "implementation": "burn-twins", "device": choice, "network": network, "image_size": image_size,
        "batch": batch, "work": work.name(), "precision": precision, "images_per_second": rate(median),
        "slowest": rate(slowest), "fastest": rate(fastest), "milliseconds": 1e3 * median, "runs": blocks * runs,
        "warm_up_seconds": warm_up,
    }));
}
