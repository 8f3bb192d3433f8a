//! Studies, which compare methods and controls over several seeds, with each learning rate chosen on validation images.

mod arm;
mod candidate;
mod check;
mod checked;
mod collection;
mod comparison;
mod conclusion;
mod config;
mod directory;
mod divergence;
mod epoch;
mod error;
mod estimate;
mod file;
mod finished;
mod identity;
mod job;
mod merge;
mod options;
mod outcome;
mod report;
mod results;
mod runner;
mod sections;
mod shard;
mod statistics;
mod summary;
mod table;
#[cfg(test)]
mod tests;

pub use arm::SettingsFrom;
pub use candidate::Candidate;
pub use checked::Study;
pub use config::{ArmConfig, SettingsOf, StudyConfig, TrialsConfig};
pub use divergence::Divergence;
pub use epoch::EpochResult;
pub use error::StudyError;
#[cfg(feature = "schema")]
pub(crate) use identity::StudyIdentity;
pub use job::StudyJob;
pub use merge::ReportSources;
pub use options::StudyOptions;
pub use outcome::{LeftOut, LeftOutReason, StudyOutcome};
pub use results::{ArmResults, BestEpoch, Metric, RunResult, RunScore, StudyResults, TrialResult};
pub use shard::{Phase, Shard};
pub use statistics::{PairedDifference, Summary};
pub use summary::{ArmSummary, Checkpoint, SeedDifference, SeedDifferences};
