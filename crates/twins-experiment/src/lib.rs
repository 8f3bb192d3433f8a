//! Experiments: one training with one method and one seed, and its measurement, as a value that can be written, checked, run, resumed
//! and compared.
//!
//! [`ExperimentConfig`] holds the settings as a user writes them: data and split, initial weights, head, method, optimiser, schedule,
//! augmentation, evaluation, devices, seed. A TOML file, a command line and a program make the same value, the first two through a
//! [`Draft`]. [`Experiment`] is the checked form, and the only one that runs.

mod builtin;
mod data;
mod devices;
mod error;
mod experiment;
mod model;
mod notice;
mod run;
mod settings;
mod study;

pub use data::{DatasetSource, Parts, TestImages, TestPart};
pub use devices::{BatchMemory, DeviceChoice, DeviceError, MemoryError, RemoteAddress, available_memory};
pub use error::ExperimentError;
pub use experiment::Experiment;
pub use model::{FileHash, check_classes, read_card, resolve_architecture};
pub use notice::{Notice, Notify, silent};
pub use run::{ImageCounts, Outcome, ResolvedInputs, RunDirectory, RunOptions};
pub use settings::{
    AugmentationName, AutoAttackImages, ComputeConfig, Contradiction, DataConfig, Draft, EvaluationConfig,
    ExperimentConfig, Given, Head, InitialModel, InputNormalisation, LastCheckpoint, Layer, LogConfig,
    ReportAttack, Sources, Start, TestMeasurement,
};
pub use study::{
    ArmConfig, ArmResults, ArmSummary, BestEpoch, Candidate, Checkpoint, Divergence, LeftOut, LeftOutReason,
    Metric, PairedDifference, Phase, ReportSources, RunResult, RunScore, SeedDifference, SeedDifferences,
    SettingsFrom, SettingsOf, Shard, Study, StudyConfig, StudyError, StudyJob, StudyOptions, StudyOutcome,
    StudyResults, Summary, TrialResult, TrialsConfig,
};
