use std::fmt;
use std::path::PathBuf;

use super::{StudyJob, StudyResults};
use crate::error::holder;

/// The outcome of running a study or one of its shards.
#[derive(Debug)]
pub struct StudyOutcome {
    /// The results of all shards that share the directory.
    pub results: StudyResults,
    /// Whether it was interrupted, with the state saved.
    pub interrupted: bool,
    /// The jobs of the shard that could not be run.
    pub left_out: Vec<LeftOut>,
}

/// A job that could not be run, and the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut {
    /// The job.
    pub job: StudyJob,
    /// The reason.
    pub reason: LeftOutReason,
}

/// The reason why a job could not be run.
#[derive(Clone, Debug, PartialEq)]
pub enum LeftOutReason {
    /// These trials, of other shards or of jobs that were left out, choose its learning rate and have not finished.
    MissingTrials(Vec<StudyJob>),
    /// Every trial of this arm diverged.
    AllTrialsDiverged(String),
    /// Another process works on it.
    InUse {
        /// The directory of the job.
        directory: PathBuf,
        /// The id of the process, if it is known.
        process: Option<u32>,
    },
}

impl StudyOutcome {
    /// The trials whose results are missing in the directory, and without which runs of the shard were left out.
    pub fn missing_trials(&self) -> Vec<&StudyJob> {
        let mut missing: Vec<&StudyJob> = Vec::new();
        for left_out in &self.left_out {
            if let LeftOutReason::MissingTrials(trials) = &left_out.reason {
                for trial in trials {
                    if !missing.contains(&trial) {
                        missing.push(trial);
                    }
                }
            }
        }
        missing
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.job, self.reason)
    }
}

impl fmt::Display for LeftOutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingTrials(trials) => {
                let trials: Vec<String> =
                    trials.iter().map(|trial| trial.directory().display().to_string()).collect();
                write!(f, "the results of {} are missing", trials.join(", "))
            }
            Self::AllTrialsDiverged(arm) => {
                write!(
                    f,
                    "every trial of \"{arm}\" diverged; add an arm of another name with lower learning rates or gradient_clip"
                )
            }
            Self::InUse { directory, process } => {
                write!(f, "{} is in use by {}", directory.display(), holder(*process))
            }
        }
    }
}
