//! The time of the parts of adversarial training on every device of `TWINS_DEVICES`: one step of PGD, PGD-10, the update of TWINS-AT, and
//! whole steps of TWINS-AT and TRADES.
//!
//! `cargo bench --bench training` prints the median of several runs in milliseconds. On the CPU it also prints the share of the time that
//! is spent outside the layers. Names of networks after `--` select networks, and `--layers` lists the time of each kind of layer.
//!
//! `benches/compare/training.py` compares with PyTorch. It starts this program with `--serve`, writes lines of the form `NETWORK WORK`, and
//! reads the seconds that each took. `benches/compare/scaling.py` does the same with other sizes.

use std::hint::black_box;
use std::io::{BufRead, Write};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor};
use burn_twins::attack::Norm;
use burn_twins::models::{ModelConfig, Net};
use burn_twins::nn::profile::Total;
use burn_twins::nn::{TwinsModule, profile};
use burn_twins::train::{AdversaryConfig, Method, Sgd, StepSettings, TrainConfig, TrainingBatch, step};
use burn_twins_tests::record;
use serde_json::json;

/// Networks with the sizes of their images and batches, and their numbers of classes.
const NETWORKS: [(&str, usize, usize, usize); 5] = [
    ("resnet8", 32, 64, 10),
    ("resnet20", 32, 64, 10),
    ("resnet18-cifar", 32, 64, 10),
    ("wrn-28-10", 32, 16, 10),
    ("resnet50", 224, 8, 100),
];

const WORKS: [&str; 6] = ["forward", "pgd-1", "pgd-10", "update", "twins-at", "trades"];

/// Maximum number of runs of each work. The median is reported. Slow works run less often.
const RUNS: usize = 15;
const PATIENCE: f64 = 20.0;

struct Bench {
    net: Net,
    images: Tensor<4>,
    labels: Vec<usize>,
}

impl Bench {
    /// Accepts one of [`NETWORKS`], or `ARCHITECTURE:SIZE:BATCH:CLASSES`.
    fn new(network: &str, device: &Device) -> Self {
        let known = NETWORKS.iter().find(|(name, ..)| *name == network).copied();
        let (name, size, batch, classes) = known.unwrap_or_else(|| {
            let (name, sizes) = network.split_once(':').expect("a network");
            let sizes: Vec<usize> = sizes.split(':').map(|size| size.parse().expect("a size")).collect();
            (name, sizes[0], sizes[1], sizes[2])
        });
        device.seed(0);
        let architecture = name.parse().expect("an architecture");
        let net =
            ModelConfig::new(architecture, classes).init(&device.clone().autodiff()).expect("a network");
        let images = Tensor::random([batch, 3, size, size], Distribution::Uniform(0.0, 1.0), device);
        Self { net, images, labels: (0..batch).map(|index| index % classes).collect() }
    }

    /// Returns the seconds of one run of a work.
    fn seconds(&self, work: &str) -> f64 {
        let start = Instant::now();
        match work {
            "forward" => drop(self.net.valid().forward(self.images.clone()).into_data()),
            "update" => self.update(Method::TwinsAt, self.images.clone()),
            "twins-at" => self.update(Method::TwinsAt, self.adversarial(10)),
            "trades" => self.update(Method::Trades, self.adversarial(10)),
            other => match other.strip_prefix("pgd-").map(str::parse) {
                Some(Ok(steps)) => drop(self.adversarial(steps)),
                _ => panic!("unknown work {other}"),
            },
        }
        self.images.device().sync().expect("the device computes");
        start.elapsed().as_secs_f64()
    }

    /// Prints the share of a work's time outside the layers and, if requested, the time in each kind of layer.
    fn layers(&self, work: &str, lists: bool) {
        let (seconds, totals) = profile::measure(|| self.seconds(work));
        let available = seconds * rayon::current_num_threads() as f64;
        let share = |core_seconds: f64| 100.0 * core_seconds / available;
        let layers: f64 = totals.values().map(|total| total.core_seconds).sum();
        println!("  {work}: {:.0} % outside the layers", share(available - layers).max(0.0));
        let mut totals: Vec<_> = totals.into_iter().filter(|_| lists).collect();
        totals.sort_by(|(_, a), (_, b)| b.core_seconds.total_cmp(&a.core_seconds));
        for (name, Total { calls, core_seconds }) in totals {
            println!(
                "    {:5.1} % {:9.2} ms, {calls:4} calls  {name}",
                share(core_seconds),
                1e3 * core_seconds
            );
        }
    }

    fn adversarial(&self, steps: usize) -> Tensor<4> {
        let net = self.net.valid();
        let victim = |images: Tensor<4>| net.forward(images);
        let keys: Vec<u64> = (0..self.labels.len() as u64).collect();
        let adversary =
            AdversaryConfig::new(Norm::Linf, 8.0 / 255.0, steps, 2.0 / 255.0).build().expect("an adversary");
        black_box(
            adversary.perturb(&victim, self.images.clone(), &self.labels, &keys).expect("finite logits"),
        )
    }

    fn update(&self, method: Method, adversarial: Tensor<4>) {
        let objective = method.objective::<Net>(&TrainConfig::new(method));
        let labels: Vec<i64> = self.labels.iter().map(|label| *label as i64).collect();
        let labels = Tensor::<1, Int>::from_data(labels.as_slice(), &self.images.device().autodiff());
        let [clean, adversarial] = [self.images.clone(), adversarial].map(Tensor::from_inner);
        let batch = TrainingBatch::new(clean, adversarial, labels);
        let mut sgd = Sgd::new(0.9, 1e-4);
        let net = self.net.clone().with_wing(objective.wing());
        let (net, _) =
            step(net, objective.as_ref(), &mut sgd, &batch, &StepSettings::new(1e-3)).expect("a step");
        black_box(net);
    }
}

/// Runs the benchmark.
pub fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let (_, device) = burn_twins_tests::devices().swap_remove(0);
    if words.iter().any(|word| word == "--serve") {
        return serve(&device);
    }
    for (choice, device) in burn_twins_tests::devices() {
        println!("{choice}: milliseconds, the median of up to {RUNS} runs");
        for (name, size, batch, _) in NETWORKS {
            let mut chosen = words.iter().filter(|word| !word.starts_with("--")).peekable();
            if chosen.peek().is_some() && !chosen.any(|word| word == name) {
                continue;
            }
            let bench = Bench::new(name, &device);
            print!("{name}, {batch} images of {size} × {size}:");
            for work in WORKS {
                // The first run is a warm-up: on a GPU it compiles the kernels.
                bench.seconds(work);
                let runs = ((PATIENCE / bench.seconds(work)) as usize).clamp(3, RUNS);
                let mut seconds: Vec<f64> = (0..runs).map(|_| bench.seconds(work)).collect();
                seconds.sort_by(f64::total_cmp);
                print!("  {work} {:.1}", 1e3 * seconds[runs / 2]);
                record(&json!({
                    "bench": "training", "device": choice, "network": name, "image_size": size, "batch": batch,
                    "work": work, "milliseconds": 1e3 * seconds[runs / 2], "runs": runs,
                }));
                std::io::stdout().flush().expect("standard output");
            }
            println!();
            if device == Device::flex() {
                for work in ["pgd-10", "update"] {
                    bench.layers(work, words.iter().any(|word| word == "--layers"));
                }
            }
        }
    }
}

/// Runs the works that are requested on standard input, one per line.
fn serve(device: &Device) {
    let mut current: Option<(String, Bench)> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input");
        let (name, work) = line.split_once(' ').expect("NETWORK WORK");
        if current.as_ref().is_none_or(|(of, _)| of != name) {
            current = Some((name.to_owned(), Bench::new(name, device)));
        }
        let (_, bench) = current.as_ref().expect("set above");
        println!("{}", bench.seconds(work));
    }
}
