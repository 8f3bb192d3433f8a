//! Image classifiers with two-wing batch normalisation, and strict import of PyTorch weights.
//!
//! A [`Net`] takes images in [0, 1] and returns logits; normalisation and up-sampling are part of it. Every batch
//! normalisation in it is a [`TwinsBatchNorm`](twins_nn::TwinsBatchNorm), whose adaptive wing is plain batch
//! normalisation. A PyTorch checkpoint is loaded into both wings. ConvNeXt has no batch normalisation, so the two-wing
//! methods cannot train it.
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

mod architectures;
mod blocks;
mod error;
mod export;
mod import;
mod model_file;
mod network;

pub use architectures::architecture::Architecture;
pub use architectures::shortcuts::Shortcuts;
pub use blocks::activation::Activation;
pub use error::ModelError;
pub use export::weights::{Wings, export_weights};
pub use import::load::{load_pretrained, load_weights};
pub use import::mismatch::{ImportMismatch, ShapeMismatch};
pub use import::options::{ImportOptions, NormalisationSource};
pub use import::rename::Rename;
pub use import::report::{IgnoredEntry, ImportReport, MappedEntry, WeightFormat};
pub use model_file::card::ModelCard;
pub use model_file::file::{load_model, load_model_from_bytes, save_model};
pub use model_file::held_out::HeldOut;
pub use model_file::saved_checkpoint::SavedCheckpoint;
pub use network::config::ModelConfig;
pub use network::net::Net;
pub use network::normalisation::Normalisation;
