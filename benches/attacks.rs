//! Throughput of the attacks on every device of `TWINS_DEVICES`, in images that pass through the model per second.
//!
//! Run `cargo bench --bench attacks` and compare the rows of one run. The net is the MNIST one with random weights, and
//! the images are noise. Epsilon is so small that every sample survives, so the work is the same on every device.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use burn_twins::attack::{
    ApgdConfig, Attack, Draws, FabConfig, Norm, PgdConfig, Samples, SquareConfig, Start, ThreatModel,
    predictions,
};
use burn_twins::models::{Architecture, ModelConfig, Net};
use burn_twins_tests::record;
use serde_json::json;

const IMAGES: usize = 128;

/// Number of timed runs of each attack.
const RUNS: usize = 11;

/// Noise, labelled with the predictions of the net.
fn samples(net: &Net, device: &Device) -> Samples {
    let mut draws = Draws::new(0, 0, "bench", 0);
    let pixels: Vec<f32> = (0..IMAGES * 784).map(|_| draws.uniform()).collect();
    let images: Tensor<4> = Tensor::from_data(TensorData::new(pixels, [IMAGES, 1, 28, 28]), device);
    let unlabelled = Samples::new(images.clone(), vec![0; IMAGES]).unwrap();
    let seen = predictions(&|x: Tensor<4>| net.forward(x), &unlabelled).unwrap();
    Samples::new(images, seen).unwrap().with_batch_size(IMAGES).unwrap()
}

fn attacks(norm: Norm) -> Vec<Box<dyn Attack>> {
    let threat = ThreatModel::new(norm, 1e-6).unwrap();
    vec![
        Box::new(PgdConfig::new(threat, 10, 1e-7).with_start(Start::Uniform).build().unwrap()),
        Box::new(ApgdConfig::new(threat).with_steps(10).build().unwrap()),
        Box::new(FabConfig::targeted(threat, 1).with_steps(10).build().unwrap()),
        Box::new(SquareConfig::new(threat).with_queries(20).build().unwrap()),
    ]
}

/// Runs the benchmark.
pub fn main() {
    for (choice, device) in burn_twins_tests::devices() {
        let net = ModelConfig::new(Architecture::MnistCnn, 10).init(&device).unwrap().valid();
        let victim = |images: Tensor<4>| net.forward(images);
        let samples = samples(&net, &device);
        for norm in [Norm::Linf, Norm::L2, Norm::L1] {
            println!("\n{choice} {norm}, {IMAGES} images: median (slowest and fastest) of {RUNS} runs");
            for attack in attacks(norm) {
                let run = || {
                    let start = Instant::now();
                    // Logits are copied to the host at every step, so the device has finished when the attack returns.
                    let output = attack.run(&victim, &samples).unwrap();
                    (output, start.elapsed().as_secs_f64())
                };
                // The first run is a warm-up.
                let (output, _) = run();
                let name = attack.name();
                assert_eq!(output.robust_accuracy(), 1.0, "{name}: the work must not depend on the device");
                let mut rates: Vec<f64> = (0..RUNS).map(|_| output.forwards as f64 / run().1).collect();
                rates.sort_by(f64::total_cmp);
                let [slowest, median, fastest] = [rates[0], rates[RUNS / 2], rates[RUNS - 1]];
                println!("  {name:<16} {median:>9.0} images per second ({slowest:.0} to {fastest:.0})");
                record(&json!({
                    "bench": "attacks", "device": choice, "norm": norm.to_string(), "attack": name, "images": IMAGES,
                    "images_per_second": median, "slowest": slowest, "fastest": fastest,
                }));
            }
        }
    }
}
