use burn::tensor::Device;
use twins_attack::Norm;
use twins_train::{AdversaryConfig, AutoLoraConfig, Method, ProgressDisplay, Schedule, TrainConfig, Trainer};

use crate::net::Net;

/// Three epochs with a weak adversary. With 90 images, of which 9 are for validation, an epoch has one batch of 17 images and
/// four of 16. Each is large enough for two parts with two wings.
pub fn config(method: Method) -> TrainConfig {
    TrainConfig::new(method)
        .with_epochs(3)
        .with_batch_size(17)
        .with_learning_rate(0.05)
        .with_schedule(Schedule::MultiStep { milestones: vec![2], gamma: 0.1 })
        .with_adversary(AdversaryConfig::new(Norm::Linf, 0.05, 2, 0.04))
        .with_auto_lora(AutoLoraConfig::new(4))
        .with_seed(5)
}

/// A trainer that shows no progress.
pub fn trainer(config: TrainConfig) -> Trainer<Net> {
    Trainer::new(config).unwrap().with_progress(ProgressDisplay::Hidden)
}

/// Returns `count` handles of the CPU.
pub fn cpus(count: usize) -> Vec<Device> {
    vec![Device::flex(); count]
}
