//! Training objectives: one file per method, and what it means to differentiate one.

mod at;
mod auto_lora;
mod branched;
mod cross_entropy;
mod divergence;
mod halves;
mod low_rank;
mod mart;
mod objective;
mod on_model;
mod pass;
mod standard;
mod trades;
mod twins_at;
mod twins_trades;

pub use at::At;
pub use auto_lora::{AutoLora, AutoLoraConfig};
pub(crate) use branched::BRANCH;
pub use branched::Branched;
pub use mart::Mart;
pub use objective::{Loss, Objective, TrainingBatch, TrainingImages};
pub(crate) use on_model::OnModel;
pub(crate) use pass::{Measured, Pass, SCALARS};
pub use standard::Standard;
pub use trades::Trades;
pub use twins_at::TwinsAt;
pub use twins_trades::TwinsTrades;
