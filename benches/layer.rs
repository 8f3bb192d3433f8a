//! Compares the two-wing layer with Burn's own operations, forward and backward, on every device of `TWINS_DEVICES`.
//!
//! `cargo bench --bench layer` prints the times of every row, and then the ratios that docs/layer.md reports. The rows are
//! measured in turns. A layer's time is the time of its row minus the time of the row without a layer in the same turn.

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::activation::relu;
use burn::tensor::module::batch_norm;
use burn::tensor::{Device, Distribution, Tensor};
use burn_twins::DeviceChoice;
use burn_twins::nn::{TwinsBatchNorm, TwinsBatchNormConfig, TwinsModule, Wing};
use burn_twins_tests::record;
use serde_json::json;

const SHAPES: [[usize; 4]; 2] = [[64, 32, 32, 32], [64, 64, 32, 32]];

/// Number of turns of all rows. The median is reported.
const ROUNDS: usize = 41;

/// Time after which a shape gets no more turns, so that a slow device runs fewer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes glibc keep freed memory. Returning each tensor's memory to the kernel would cause page faults that dominate the
/// measurement.
const ALLOCATOR: [&str; 2] = ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"];

type Row<'a> = (&'static str, Box<dyn Fn(Tensor<4>) -> Tensor<4> + 'a>);

/// Runs the benchmark.
pub fn main() {
    if ALLOCATOR.iter().any(|name| std::env::var_os(name).is_none()) {
        // The allocator reads its settings when a process starts, so the program starts itself again, under the name with which
        // it was called: see benches/gpu.rs.
        let mut again = Command::new(std::env::args_os().next().expect("a running program has a name"));
        again.args(std::env::args_os().skip(1)).envs(ALLOCATOR.map(|name| (name, "4294967296")));
        std::process::exit(again.status().expect("the same program starts").code().unwrap_or(1));
    }
    for (choice, device) in burn_twins_tests::devices() {
        let device = device.autodiff();
        for shape in SHAPES {
            compare(&choice, shape, &device);
        }
    }
}

fn compare(choice: &DeviceChoice, shape: [usize; 4], device: &Device) {
    device.seed(0);
    let input = Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device.clone().inner());
    let stock = BatchNormConfig::new(shape[1]).init(device);
    let twins = TwinsBatchNormConfig::new(shape[1]).init(device);
    let [adaptive, frozen, split] =
        [Wing::AdaptiveTraining, Wing::Frozen, Wing::Split].map(|wing| twins.clone().with_wing(wing));
    let (stock_valid, valid) = (stock.valid(), twins.valid());
    let rows: Vec<Row> = vec![
        ("no layer", Box::new(|x| x)),
        ("training, stock", Box::new(|x| stock.forward(x))),
        ("training, two-wing", Box::new(|x| adaptive.forward(x))),
        ("frozen, two-wing", Box::new(|x| frozen.forward(x))),
        ("split, composed of stock", Box::new(|x| composed_split(&frozen, &stock, x))),
        ("split, two-wing", Box::new(|x| split.forward(x))),
        ("split, two-wing, then ReLU", Box::new(|x| relu(split.forward(x)))),
        ("split, two-wing with ReLU", Box::new(|x| split.forward_relu(x))),
        ("input gradient, stock", Box::new(|x| stock_valid.forward(x))),
        ("input gradient, two-wing", Box::new(|x| valid.forward(x))),
    ];
    let times = measure(&rows, &input, device);
    println!("\n{choice} {shape:?}: forward and backward, {} turns", times[0].len());
    let row = |name: &str| &times[rows.iter().position(|row| row.0 == name).expect("a row of the table")];
    // The difference is taken within a turn, because the speed of the machine drifts.
    let layer = |name| median(row(name).iter().zip(row("no layer")).map(|(time, none)| time - none));
    for (name, _) in &rows {
        let time = median(row(name).iter().copied());
        println!("  {name:<28} {:>8.2} ms, the layer {:>8.2} ms", time * 1e3, layer(name) * 1e3);
        record(&json!({
            "bench": "layer", "device": choice, "shape": shape, "row": name, "turns": times[0].len(),
            "milliseconds": time * 1e3, "layer_milliseconds": layer(name) * 1e3,
        }));
    }
    // The memory bandwidth can only be measured here if the device is this machine's CPU.
    let copy = (*choice == DeviceChoice::Cpu).then(|| copy_bandwidth(shape.iter().product()));
    if let Some(copy) = copy {
        println!("  copying (read + write)       {:>8.2} GB/s", copy / 1e9);
    }
    let bytes = (shape.iter().product::<usize>() * size_of::<f32>()) as f64;
    // Number of passes over a tensor of the input's size. Forward: reads for the statistics, and reads and writes. Backward:
    // reads of the gradient and the input for the sums, and reads and writes for the input's gradient, for which the frozen half
    // does not need the input.
    for (ours, theirs, target, passes) in [
        ("split, two-wing", "split, composed of stock", 0.25, 0.5 + 2.0 + 2.0 + 2.5),
        ("training, two-wing", "training, stock", 0.25, 1.0 + 2.0 + 2.0 + 3.0),
        ("input gradient, two-wing", "input gradient, stock", 0.4, 2.0 + 2.0),
    ] {
        print!("  {ours}: {:.2} of {theirs}", layer(ours) / layer(theirs));
        if let Some(copy) = copy {
            let share = 100.0 * passes * bytes / layer(ours) / copy;
            print!(" (target {target}); {share:.0} % of the copy's bandwidth");
        }
        println!();
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The split wing, composed without a fused operation.
fn composed_split(frozen: &TwinsBatchNorm, stock: &BatchNorm, x: Tensor<4>) -> Tensor<4> {
    let half = x.dims()[0] / 2;
    let rest = x.dims()[0] - half;
    let [gamma, beta] =
        [&frozen.frozen_gamma, &frozen.frozen_beta].map(|p| p.as_ref().expect("per wing").val());
    let (mean, variance) = (frozen.frozen_mean.val(), frozen.frozen_var.val());
    let first = batch_norm(x.clone().narrow(0, 0, half), gamma, beta, mean, variance, frozen.epsilon);
    Tensor::cat(vec![first, stock.forward(x.narrow(0, half, rest))], 0)
}

/// Returns the seconds of each row in every turn.
fn measure(rows: &[Row], input: &Tensor<4>, device: &Device) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::new(); rows.len()];
    let begin = Instant::now();
    for round in 0..=ROUNDS {
        for ((_, forward), times) in rows.iter().zip(&mut times) {
            let input = Tensor::from_inner(input.clone()).require_grad();
            let start = Instant::now();
            // As in a network, the layer's input is the output of an operation, and no other tensor shares its memory. The
            // backward pass starts from a gradient of ones, whose cost the row without a layer includes too.
            let gradients = forward(input.clone().neg()).backward();
            black_box(input.grad(&gradients).expect("the input is tracked"));
            device.sync().expect("the device computes");
            let time = start.elapsed().as_secs_f64();
            // The first round is a warm-up.
            if round > 0 {
                times.push(time);
            }
        }
        if begin.elapsed() > PATIENCE && round > 2 {
            break;
        }
    }
    times
}

/// Bytes read and written per second when all cores copy a tensor with this number of values.
fn copy_bandwidth(values: usize) -> f64 {
    use rayon::prelude::*;
    let source = vec![1.0f32; values];
    let mut target = vec![0.0f32; values];
    let times = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        target
            .par_chunks_mut(1 << 16)
            .zip(source.par_chunks(1 << 16))
            .for_each(|(t, s)| t.copy_from_slice(s));
        black_box(&mut target);
        start.elapsed().as_secs_f64()
    });
    (2 * values * size_of::<f32>()) as f64 / median(times)
}
