//! The settings of a training: values, checks, files and published presets.

mod adversary;
mod check;
mod config_file;
mod effective;
mod frozen_from;
mod held_out;
mod known_keys;
mod method;
mod phase;
mod preset;
mod probe;
mod protocol;
mod resumed;
mod setters;
mod train_config;
mod tuning;

pub use adversary::AdversaryConfig;
pub use config_file::ConfigFile;
pub(crate) use effective::read_settings;
pub use effective::{EffectiveConfig, Resolved};
pub use frozen_from::FrozenFrom;
pub use method::Method;
pub use preset::Preset;
pub use probe::ProbeConfig;
pub use protocol::{EvaluationProtocol, ProtocolConfig};
pub use train_config::{NonFinite, TrainConfig, ValidationConfig};
pub use tuning::Tuning;
