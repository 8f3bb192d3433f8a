#![doc = include_str!("../../README.md")]

pub use twins_experiment::{
    BatchMemory, DatasetSource, DeviceChoice, DeviceError, MemoryError, RemoteAddress, available_memory,
};

/// The two-wing batch-normalisation layer.
pub use twins_nn as nn;

/// Adversarial attacks on any classifier.
pub use twins_attack as attack;

/// Data sets, augmentation and batches.
pub use twins_data as data;

/// Model architectures and weight files.
pub use twins_models as models;

/// Adversarial fine-tuning.
pub use twins_train as train;

/// Experiments: data, weights, method and measurement as one value.
pub use twins_experiment as experiment;

/// Reports of trainings.
pub use twins_report as report;
