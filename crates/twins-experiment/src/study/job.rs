use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Candidate;

/// A training of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StudyJob {
    /// A training that is evaluated on validation images, to choose among the candidates of an arm.
    Trial {
        /// The arm.
        arm: String,
        /// The candidate that it evaluates.
        candidate: Candidate,
    },
    /// A training that is evaluated on the test images.
    Run {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
    },
}

impl StudyJob {
    /// The directory within that of the study: `trials/ARM/CANDIDATE` or `runs/ARM/seed-SEED`.
    ///
    /// ```
    /// use std::path::Path;
    /// use twins_experiment::{Candidate, StudyJob};
    ///
    /// let run = StudyJob::Run { arm: "twins-at".to_owned(), seed: 2 };
    /// assert_eq!(run.directory(), Path::new("runs/twins-at/seed-2"));
    /// let trial = StudyJob::Trial { arm: "at".to_owned(), candidate: Candidate::of_learning_rate(0.003) };
    /// assert_eq!(trial.directory(), Path::new("trials/at/lr-0.003"));
    /// ```
    pub fn directory(&self) -> PathBuf {
        match self {
            Self::Trial { arm, candidate } => PathBuf::from("trials").join(arm).join(candidate.directory()),
            Self::Run { arm, seed } => PathBuf::from("runs").join(arm).join(format!("seed-{seed}")),
        }
    }

    /// The runs of a study: for each seed in order, each arm in order, so that an unfinished study has complete
    /// comparisons of its first seeds.
    pub(super) fn runs<'a>(seeds: &[u64], arms: impl Iterator<Item = &'a str> + Clone) -> Vec<Self> {
        let of_seed = |&seed: &u64| arms.clone().map(move |arm| Self::Run { arm: arm.to_owned(), seed });
        seeds.iter().flat_map(of_seed).collect()
    }

    /// The arm.
    pub fn arm(&self) -> &str {
        match self {
            Self::Trial { arm, .. } | Self::Run { arm, .. } => arm,
        }
    }
}

/// For instance `twins-at, seed 2`.
impl fmt::Display for StudyJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trial { arm, candidate } => write!(f, "{arm}, {candidate}"),
            Self::Run { arm, seed } => write!(f, "{arm}, seed {seed}"),
        }
    }
}
