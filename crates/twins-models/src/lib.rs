//! Image classifiers with two-wing batch normalisation, and strict import of PyTorch weights.
//!
//! A [`Net`] takes images in [0, 1] and returns logits; normalisation and up-sampling are inside.
//! Every batch normalisation in it is a [`TwinsBatchNorm`](twins_nn::TwinsBatchNorm), whose
//! adaptive wing is plain batch normalisation: a checkpoint of PyTorch fills both wings.
//! ConvNeXt has none, so the two-wing methods cannot train it.
//!
//! ```no_run
//! use burn::tensor::Device;
//! use twins_models::{Architecture, ImportOptions, ModelConfig, load_weights};
//!
//! let device = Device::flex().autodiff();
//! let net = ModelConfig::new(Architecture::ResNet20, 10).init(&device)?;
//! let (net, report) = load_weights(net, "cifar_resnet20.th", &ImportOptions::new())?;
//! println!("{report}");
//! // Another task: all layers but the last keep their weights.
//! let net = net.with_new_head(4, 0)?;
//! # Ok::<(), twins_models::ModelError>(())
//! ```

mod activation;
mod architecture;
mod blocks;
mod config;
mod convnext;
mod error;
mod export;
mod held_out;
mod import;
mod initial;
mod mnist_cnn;
mod model_file;
mod net;
mod normalisation;
mod resnet;
mod saved_checkpoint;
mod shortcuts;
mod spec;
mod upsample;

#[cfg(test)]
mod full_size;
#[cfg(test)]
mod golden;

pub use activation::Activation;
pub use architecture::Architecture;
pub use config::ModelConfig;
pub use error::ModelError;
pub use export::{Wings, export_weights};
pub use held_out::HeldOut;
pub use import::{
    IgnoredEntry, ImportMismatch, ImportOptions, ImportReport, MappedEntry, NormalisationSource, Rename,
    ShapeMismatch, WeightFormat, load_pretrained, load_weights,
};
pub use model_file::{ModelCard, load_model, save_model};
pub use net::Net;
pub use normalisation::Normalisation;
pub use saved_checkpoint::SavedCheckpoint;
pub use shortcuts::Shortcuts;
