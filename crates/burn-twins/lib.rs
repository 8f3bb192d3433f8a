#![doc = include_str!("../../README.md")]

mod dataset_source;
mod device;
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "cuda"))]
mod gpu;
mod memory;
mod remote;

pub use dataset_source::DatasetSource;
pub use device::{DeviceChoice, DeviceError};
pub use memory::{BatchMemory, MemoryError, available_memory};
pub use remote::RemoteAddress;

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

/// Reports of trainings.
pub use twins_report as report;
