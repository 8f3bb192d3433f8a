#![doc = include_str!("../../README.md")]

pub use twins_experiment::{
    BatchMemory, DatasetSource, DeviceChoice, DeviceError, MemoryError, RemoteAddress, RemoteToken,
    available_memory,
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

/// Experiments: data, weights, method and measurement in one value.
pub use twins_experiment as experiment;

/// Reports of training runs.
pub use twins_report as report;

/// The code of the guide, compiled and run with the other doctests.
#[cfg(doctest)]
mod guide {
    macro_rules! pages {
        ($($page:ident: $file:literal,)*) => {
            $(
                #[doc = include_str!(concat!("../../docs/guide/", $file))]
                mod $page {}
            )*
        };
    }

    pages! {
        evaluating: "evaluating.md",
        onnx: "onnx.md",
        own_attack: "own-attack.md",
        own_model: "own-model.md",
        own_objective: "own-objective.md",
        robust_checkpoint: "robust-checkpoint.md",
        robustbench: "robustbench.md",
        several_devices: "several-devices.md",
    }
}
