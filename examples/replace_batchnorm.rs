//! Uses your own model and checkpoint with TWINS: change the type of its `BatchNorm` fields to `TwinsBatchNorm`.
//!
//! `cargo run --release --example replace_batchnorm`

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::store::ModuleRecord;
use burn::tensor::{Device, Distribution, Tensor};
use burn_twins::nn::{TwinsBatchNorm, TwinsBatchNormConfig, TwinsModule, Wing};

/// Your own model. `N` stands for the two versions that this file needs.
#[derive(Module, Debug)]
struct Net<N: Module> {
    conv: Conv2d,
    norm: N, // was: BatchNorm, is: TwinsBatchNorm
}

fn conv(device: &Device) -> Conv2d {
    Conv2dConfig::new([3, 8], [3, 3]).with_bias(false).init(device)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    let images = Tensor::<4>::random([8, 3, 16, 16], Distribution::Default, &device);
    let file = std::env::temp_dir().join(format!("replace_batchnorm_{}.bpk", std::process::id()));

    // The checkpoint of your model, pre-trained with its `BatchNorm`.
    let stock = Net::<BatchNorm> { conv: conv(&device), norm: BatchNormConfig::new(8).init(&device) };
    stock.norm.forward(stock.conv.forward(images.clone()));
    stock.valid().into_record().save(&file)?;

    // The same file fills both wings of the changed model. A layer that is missing, unexpected or of another shape is an error.
    let net = Net::<TwinsBatchNorm> { conv: conv(&device), norm: TwinsBatchNormConfig::new(8).init(&device) };
    let net = net.load_batch_norm_record(ModuleRecord::load(&file)?)?;
    println!("{} two-wing layer(s) filled from {}", net.num_twins_layers(), file.display());

    // Fine-tune: half of each batch goes through the frozen wing, half through the adaptive wing, whose statistics are
    // updated.
    let net = net.with_wing(Wing::Split);
    for _ in 0..10 {
        net.norm.forward_relu(net.conv.forward(images.clone() * 2.0));
    }
    println!("running mean, pre-trained: {}", net.norm.frozen_mean.val().slice(0..3).into_data());
    println!("running mean, fine-tuned:  {}", net.norm.running_mean.value().slice(0..3).into_data());

    // Deploy: the adaptive wing becomes an ordinary `BatchNorm` again.
    let record = net.valid().into_record().allow_unused(true);
    let deployed = stock.load_record(record).valid();
    println!("deployed: {}", deployed.norm);
    std::fs::remove_file(file)?;
    Ok(())
}
