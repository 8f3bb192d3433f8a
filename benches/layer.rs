//! The two-wing layer against Burn's batch norm, forward and backward, on the CPU backend.
//!
//! `cargo bench --bench layer`: compare the rows of one run; the tensors are made outside the timed part.

use burn::module::Module;
use burn::nn::BatchNormConfig;
use burn::tensor::{Device, Distribution, Tensor};
use burn_twins::nn::{TwinsBatchNormConfig, TwinsModule, Wing};
use criterion::{Criterion, criterion_group, criterion_main};

const SHAPES: [[usize; 4]; 2] = [[64, 32, 32, 32], [64, 64, 32, 32]];

fn layer(criterion: &mut Criterion) {
    let device = Device::flex().autodiff();
    for shape in SHAPES {
        device.seed(0);
        let input = Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device.clone().inner());
        // A gradient that is no constant, so that nothing of the backward pass can be left out.
        let weight = Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let pass = |forward: &dyn Fn(Tensor<4>) -> Tensor<4>| {
            let input = Tensor::from_inner(input.clone()).require_grad();
            let gradients = (forward(input.clone()) * weight.clone()).sum().backward();
            input.grad(&gradients).expect("the input is tracked")
        };
        let stock = BatchNormConfig::new(shape[1]).init(&device);
        let twins = TwinsBatchNormConfig::new(shape[1]).init(&device);
        let mut group = criterion.benchmark_group(format!("{shape:?} forward + backward"));
        group.sample_size(10);
        group.bench_function("stock, training", |b| b.iter(|| pass(&|x| stock.forward(x))));
        for wing in [Wing::AdaptiveTraining, Wing::Frozen, Wing::Split] {
            let layer = twins.clone().with_wing(wing);
            group.bench_function(format!("twins, {wing:?}"), |b| b.iter(|| pass(&|x| layer.forward(x))));
        }
        let (stock, twins) = (stock.valid(), twins.valid());
        group.bench_function("stock, input gradient", |b| b.iter(|| pass(&|x| stock.forward(x))));
        group.bench_function("twins, input gradient", |b| b.iter(|| pass(&|x| twins.forward(x))));
        // What all rows contain beside the layer.
        group.bench_function("no layer", |b| b.iter(|| pass(&|x| x)));
        group.finish();
    }
}

criterion_group!(benches, layer);
criterion_main!(benches);
