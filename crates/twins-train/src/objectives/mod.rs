//! Training objectives, one file per method, and the pass that computes and differentiates an objective.

mod at;
mod auto_lora;
mod divergence;
mod epoch_start;
mod frozen_at;
mod halves;
mod low_rank;
mod mart;
mod mixed_precision;
mod objective;
mod parameters;
mod pass;
mod standard;
mod targets;
mod trades;
mod training_model;
mod twins_at;
mod twins_trades;

pub use at::At;
pub use auto_lora::{AutoLora, AutoLoraConfig, AutoLoraWeights};
pub use epoch_start::EpochStart;
pub use frozen_at::FrozenAt;
pub use mart::Mart;
pub use mixed_precision::MixedPrecision;
pub(crate) use mixed_precision::check as check_precision;
pub use objective::{Loss, Objective, TrainingBatch, TrainingImages};
pub use parameters::ObjectiveParameters;
pub(crate) use pass::{Measured, Pass, SCALARS};
pub use standard::Standard;
pub use targets::Targets;
pub use trades::Trades;
pub(crate) use training_model::OBJECTIVE_PARAMETERS;
pub use training_model::TrainingModel;
pub use twins_at::TwinsAt;
pub use twins_trades::TwinsTrades;
