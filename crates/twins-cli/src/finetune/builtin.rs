//! The built-in job: its net and lengths, chosen to take a few minutes on two cores.

use std::path::Path;

use burn::tensor::Device;
use burn_twins::data::{DataSource, Limit, Part, Task};
use burn_twins::models::{Architecture, ModelConfig, Net};
use burn_twins::train::{Evaluation, Method, Schedule, TrainConfig};

use crate::finetune::cli::Cli;
use crate::finetune::tuning::{fit, measure, test_protocol};
use crate::support::open_data;
use crate::support::parts::Parts;

pub const ARCH: Architecture = Architecture::TinyResNet;
pub const PRETRAIN_IMAGES: usize = 4_000;
pub const PRETRAIN_EPOCHS: usize = 5;
pub const PRETRAIN_LR: f64 = 0.1;
pub const TRAIN_IMAGES: usize = 2_000;
pub const TEST_IMAGES: usize = 500;
pub const EPOCHS: usize = 4;
pub const BATCH: usize = 64;
pub const LR: f64 = 0.02;
/// The paper's models were pre-trained within 4/255.
pub const EPSILON: f64 = 4.0 / 255.0;
/// With a random start, two steps of 5/8 epsilon train about as well as many short ones.
pub const STEPS: usize = 2;
pub const STEP_SHARE: f64 = 0.625;

/// Adversarial training from scratch on the built-in source task.
pub fn pretrain(
    cli: &Cli,
    config: &TrainConfig,
    out: &Path,
    devices: &[Device],
) -> Result<Net, Box<dyn std::error::Error>> {
    let source = DataSource::Builtin(Task::Source);
    let limit =
        |images| Some(cli.limit.filter(|limit| limit.count() < images).unwrap_or(Limit::First(images)));
    let train = open_data(&source, Part::Train, limit(PRETRAIN_IMAGES))?;
    let test = open_data(&source, Part::Test, limit(TEST_IMAGES))?;
    let arch = ARCH;
    let net = ModelConfig::new(arch, train.classes().len())
        .with_seed(config.seed)
        .init(&devices[0].clone().autodiff())?;
    // What else the fine-tuning is told, such as to train the head alone, is not for the pre-training.
    let config = TrainConfig {
        epochs: PRETRAIN_EPOCHS,
        schedule: Schedule::paper(PRETRAIN_EPOCHS),
        learning_rate: PRETRAIN_LR,
        weight_decay: 5e-4,
        batch_size: config.batch_size,
        drop_last: config.drop_last,
        accumulate: config.accumulate,
        sync_statistics: config.sync_statistics,
        adversary: config.adversary.clone(),
        attack_precision: config.attack_precision,
        validation: config.validation.clone(),
        augmentation: config.augmentation.clone(),
        checkpoint_steps: config.checkpoint_steps,
        seed: config.seed,
        ..TrainConfig::new(Method::At)
    };
    println!("pre-training {arch} on {source}: {} images, {} epochs", train.len(), config.epochs);
    let parts = Parts { train, validation: None, test, held_out: None };
    let trained = fit(cli, &config, net, &parts, devices, &out.join("pretrain"))?;
    let protocol = test_protocol(&config)?;
    let Evaluation { clean, robust } = measure(&trained.best, &parts.test, &protocol, devices)?;
    println!("pre-trained: clean {clean}, {protocol} {}", robust.unwrap_or_default());
    Ok(trained.best)
}
