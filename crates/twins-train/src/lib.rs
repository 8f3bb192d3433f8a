//! Adversarial fine-tuning of Burn classifiers.
//!
//! A [`Trainer`] takes a [`TrainConfig`], a model that implements [`ImageClassifier`] (one method) and a data set,
//! and gives the fine-tuned model back. Methods are adversarial training and TRADES, each plain or split between the
//! two wings of [`TwinsBatchNorm`](twins_nn::TwinsBatchNorm), MART, AutoLoRa and clean training, each with or without
//! adversarial weight perturbation; an [`Objective`] of one's own plugs in.
//! The best checkpoint is chosen on a validation split that is held out of training, never on test data. A run is
//! resumed from any moment with bit-identical weights on the same device.

mod adversary;
mod awp;
mod branched;
mod checkpoint;
mod config;
mod config_file;
mod config_keys;
mod devices;
mod division;
mod ema;
mod error;
mod evaluate;
mod exhaustion;
mod finite;
mod frozen_from;
mod gradients;
mod keys;
mod leaf;
mod loader;
mod low_rank;
mod method;
mod metrics;
mod objective;
mod order;
mod pass;
mod phase;
mod preset;
mod probe;
mod progress;
mod protocol;
mod run_directory;
mod schedule;
mod session;
mod sgd;
mod share;
mod state;
mod statistics;
mod step;
mod team;
mod trained;
mod trainer;
mod tuning;
#[cfg(test)]
mod two_pixels;
mod weights;

pub use adversary::AdversaryConfig;
pub use awp::AwpConfig;
pub use branched::Branched;
pub use config::{EffectiveConfig, NonFinite, Resolved, TrainConfig, ValidationConfig};
pub use config_file::ConfigFile;
pub use division::MIN_IMAGES_PER_WING;
pub use error::TrainError;
pub use evaluate::{Accuracy, Evaluation, evaluate, evaluate_on};
pub use frozen_from::FrozenFrom;
pub use method::Method;
pub use metrics::{EpochMetrics, LayerMetrics};
pub use objective::{
    At, AutoLora, AutoLoraConfig, Loss, Mart, Objective, Standard, Trades, TrainingBatch, TrainingImages,
    TwinsAt, TwinsTrades,
};
pub use preset::Preset;
pub use probe::ProbeConfig;
pub use progress::ProgressDisplay;
pub use protocol::{EvaluationProtocol, ProtocolConfig};
pub use run_directory::ExistingRun;
pub use schedule::{Position, Schedule};
pub use sgd::Sgd;
pub use state::{Best, BestSource};
pub use step::{StepReport, StepSettings, step};
pub use trained::{Ended, Trained};
pub use trainer::Trainer;
pub use tuning::Tuning;
pub use twins_nn::ImageClassifier;
pub use weights::Weights;
