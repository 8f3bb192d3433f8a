//! AutoAttack: a fixed sequence of attacks, each on the samples that withstood the ones before.

mod checks;
mod config;
mod course;
mod evaluate;
mod images;
mod observer;
mod replica;
mod report;
mod stages;
mod state;
mod warning;

pub use config::{AttackKind, AutoAttack, AutoAttackConfig, UnknownAttack, UnknownVersion, Version};
pub use evaluate::Evaluation;
pub use observer::{Observer, Progress, Silent};
pub use replica::Replica;
pub use report::{Count, Report, SampleRecord, StageReport, wilson_interval};
pub use state::{EvaluationState, Outcome};
pub use warning::Warning;
