//! The training settings: values, validation, files and published presets.

mod adversary;
mod check;
mod effective;
mod epsilon_schedule;
mod frozen_from;
mod held_out;
mod known_keys;
mod method;
mod nesting;
mod optimiser;
mod or_none;
mod phase;
mod preset;
mod probe;
mod protocol;
mod resumed;
mod setters;
mod settings_file;
mod train_config;
mod tuning;
mod validation_split;

pub use adversary::AdversaryConfig;
pub(crate) use effective::read_settings;
pub use effective::{EffectiveConfig, Resolved};
pub use epsilon_schedule::EpsilonSchedule;
pub use frozen_from::FrozenFrom;
pub use method::Method;
pub use preset::Preset;
pub use probe::ProbeConfig;
pub use protocol::{EvaluationProtocol, ProtocolConfig};
pub use settings_file::{ConfigFile, Settings, SettingsFile};
pub use train_config::{NonFinite, TrainConfig, ValidationConfig};
pub use tuning::Tuning;
