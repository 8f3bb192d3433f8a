//! Experiments as values that can be written, checked, run, resumed and compared. An experiment is one training with one method and one
//! seed, and its evaluation.
//!
//! [`ExperimentConfig`] holds the settings as a user writes them: data and split, initial weights, head, method, optimiser, schedule,
//! augmentation, evaluation, devices, seed. TOML files, command lines and programs create the same value, the first two through a
//! [`Draft`]. [`Experiment`] is the checked form, and the only one that can be run.

mod builtin;
mod data;
mod devices;
mod error;
mod experiment;
mod model;
mod notice;
mod run;
#[cfg(feature = "schema")]
mod schema;
mod settings;
mod study;

pub use data::{DatasetSource, ImageFileHashes, Parts, TestImages, TestPart};
pub use devices::{
    BatchMemory, DeviceChoice, DeviceError, MemoryError, RemoteAddress, RemoteToken, ServerWatch,
    available_memory, watch_servers,
};
#[cfg(feature = "remote")]
pub use devices::{DeviceServer, ServerAccess, ServerConfig, ServerError, ServerTransport};
pub use error::ExperimentError;
pub use experiment::Experiment;
pub use model::{FileHash, check_classes, read_card, resolve_architecture};
pub use notice::{Notice, Notify, silent};
pub use run::{ImageCounts, Outcome, ResolvedInputs, RunDirectory, RunOptions};
#[cfg(feature = "schema")]
pub use schema::{file_schemas, written_schema};
pub use settings::{
    AugmentationName, AutoAttackImages, ComputeConfig, Contradiction, DataConfig, Draft, EvaluationConfig,
    ExperimentConfig, GivenSetting, Head, InitialModel, InputNormalisation, LastCheckpoint, Layer, LogConfig,
    ReportAttack, Sources, TestMeasurement,
};
pub use study::{
    ArmConfig, ArmResults, ArmSummary, BestEpoch, Candidate, Checkpoint, Divergence, EpochResult, LeftOut,
    LeftOutReason, Metric, PairedDifference, Phase, ReportSources, RunResult, RunScore, SeedDifference,
    SeedDifferences, SettingsFrom, SettingsOf, Shard, Study, StudyConfig, StudyError, StudyJob, StudyOptions,
    StudyOutcome, StudyResults, Summary, TrialResult, TrialsConfig,
};
