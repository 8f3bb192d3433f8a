//! Compares `conv2d` with Burn's own convolution on the CPU backend, at the sizes of the networks of this library.
//!
//! `cargo bench --bench convolution` prints milliseconds and the ratios that docs/layer.md reports. They are medians over
//! rounds that run both.

use std::hint::black_box;
use std::time::Instant;

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2dConfig;
use burn::tensor::{Device, Distribution, Tensor};
use burn_twins::nn::conv2d;

/// Samples, channels in and out, input size, kernel, stride.
const CASES: [[usize; 6]; 10] = [
    [64, 1, 16, 28, 4, 2],
    [64, 16, 32, 14, 4, 2],
    [64, 3, 16, 32, 3, 1],
    [64, 16, 16, 32, 3, 1],
    [64, 32, 32, 16, 3, 1],
    [64, 32, 64, 16, 3, 2],
    [64, 64, 64, 8, 3, 1],
    [16, 64, 64, 32, 3, 1],
    [16, 256, 256, 8, 3, 1],
    [16, 64, 256, 32, 1, 1],
];

const TURNS: usize = 15;

fn main() {
    let device = Device::flex().autodiff();
    device.seed(0);
    println!("milliseconds of Burn's convolution / ours (ratio)");
    for [samples, channels, outputs, size, kernel, stride] in CASES {
        let padding = (kernel - 1) / 2;
        let layer = Conv2dConfig::new([channels, outputs], [kernel, kernel])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
            .init(&device);
        let inner = layer.valid();
        let shape = [samples, channels, size, size];
        let input = Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device.clone().inner());
        print!("{samples:>3} × {channels:>3} → {outputs:>3}, {size:>2}², kernel {kernel}, stride {stride}:");
        for (name, layer, tracked) in
            [("forward", &inner, false), ("input gradient", &inner, true), ("all gradients", &layer, true)]
        {
            let ours = |x| conv2d(layer, x);
            let burns = |x| layer.forward(x);
            let [ours, burns]: [&dyn Fn(Tensor<4>) -> Tensor<4>; 2] = [&ours, &burns];
            let mut times = [Vec::new(), Vec::new()];
            for turn in 0..=TURNS {
                for (times, forward) in times.iter_mut().zip([burns, ours]) {
                    let start = Instant::now();
                    run(&input, tracked, forward);
                    // The first round is a warm-up.
                    if turn > 0 {
                        times.push(start.elapsed().as_secs_f64() * 1e3);
                    }
                }
            }
            let [burns, ours] = times.map(median);
            print!("  {name} {burns:.2} / {ours:.2} ({:.2})", ours / burns);
        }
        println!();
    }
}

fn run(input: &Tensor<4>, tracked: bool, forward: &dyn Fn(Tensor<4>) -> Tensor<4>) {
    if tracked {
        black_box(forward(Tensor::from_inner(input.clone()).require_grad()).backward());
    } else {
        black_box(forward(input.clone()));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
