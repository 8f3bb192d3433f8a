//! Two-wing batch normalisation (TWINS) for Burn models.
//!
//! [`TwinsBatchNorm`] replaces Burn's `BatchNorm` in an existing model. Its *frozen wing* normalises with the
//! mean and variance of the pre-training population, which never change. Its *adaptive wing* is ordinary
//! batch normalisation. In training, each batch is split between the two wings. Inference and attacks use
//! only the adaptive wing, so a fine-tuned model has no extra cost.
//!
//! Source: Liu, Xu, Ji, Chan, "TWINS: A Fine-Tuning Framework for Improved Transferability of Adversarial
//! Robustness and Generalization", CVPR 2023, arXiv 2303.11135.
//!
//! ```
//! use burn::module::Module;
//! use burn::tensor::{Device, Tensor};
//! use twins_nn::{TwinsBatchNormConfig, TwinsModule, Wing};
//!
//! let device = Device::flex().autodiff();
//! let norm = TwinsBatchNormConfig::new(3).init(&device).with_wing(Wing::Split);
//! let batch = Tensor::<4>::ones([8, 3, 5, 5], &device);
//! // Four samples go through the frozen wing, four through the adaptive one.
//! assert_eq!(norm.forward(batch.clone()).dims(), [8, 3, 5, 5]);
//! // `valid()` selects the adaptive wing with its running statistics: inference and attack.
//! assert_eq!(norm.valid().wing(), Wing::Adaptive);
//! ```

mod batch_norm_view;
mod composed;
mod config;
mod conv;
mod convert;
mod diagnostics;
mod drift;
#[cfg(any(feature = "flex", feature = "_cube"))]
mod fused;
mod head;
mod image_classifier;
mod load;
mod norm;
mod statistics;
mod twins_module;
mod wing;
mod wings;

#[cfg(feature = "flex")]
pub use burn_flex_conv::profile;
pub use config::{Affine, RunningVariance, TwinsBatchNormConfig, UnknownAffine};
pub use conv::{conv2d, conv2d_and_input, linear, relu};
pub use diagnostics::{WeightChange, WeightTrace};
pub use drift::WingDrift;
pub use head::HeadError;
pub use image_classifier::ImageClassifier;
pub use load::{LoadError, LoadMismatch};
pub use norm::TwinsBatchNorm;
pub use statistics::StatisticsError;
pub use twins_module::TwinsModule;
pub use wing::Wing;
