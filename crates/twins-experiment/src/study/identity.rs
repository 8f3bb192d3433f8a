use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use twins_train::Method;

use super::arm::LearningRate;
use super::{Study, StudyError, StudyJob, TrialsConfig};
use crate::error::ExperimentError;
use crate::model::FileHash;
use crate::run::collect_differences;
use crate::settings::{ComputeConfig, DataConfig, ExperimentConfig, LogConfig, plain};

/// `study.json`: what a study is, without the devices that it runs on. Its results follow from it and from the directories of its runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StudyIdentity {
    pub(super) name: String,
    pub(super) seeds: Vec<u64>,
    pub(super) baseline: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trials: Option<TrialsConfig>,
    pub(super) arms: Vec<ArmIdentity>,
}

/// An arm with its resolved settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ArmIdentity {
    pub(super) name: String,
    pub(super) learning_rate: LearningRate,
    /// Size and hash of the initial weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) weights: Option<FileHash>,
    /// The settings of a run but for seed and learning rate.
    run: ExperimentConfig,
    /// The settings of a trial but for the learning rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial: Option<ExperimentConfig>,
}

impl ArmIdentity {
    /// The method.
    pub(super) fn method(&self) -> Method {
        self.run.training.method
    }
}

impl StudyIdentity {
    /// The name of the file in the directory of a study.
    pub(super) const FILE: &str = "study.json";

    /// Reads the files of initial weights.
    pub(super) fn new(study: &Study) -> Result<Self, ExperimentError> {
        let mut hashes = HashMap::new();
        let arms = study.arms.iter().map(|arm| {
            let run = arm.run(study.seeds[0], arm.rate.example())?;
            let trial = match (&study.trials, &arm.rate) {
                (Some(trials), LearningRate::Trials(candidates)) => Some(arm.trial(trials, candidates[0])?),
                _ => None,
            };
            let weights = match &run.config().model.weights {
                Some(path) => Some(hash(path, &mut hashes).map_err(|error| error.of_arm(&arm.name))?),
                None => None,
            };
            let template = |config: &ExperimentConfig| with_seed_and_rate(comparable(config), 0, 0.0);
            Ok(ArmIdentity {
                name: arm.name.clone(),
                learning_rate: arm.rate.clone(),
                weights,
                run: template(run.config()),
                trial: trial.map(|trial| template(trial.config())),
            })
        });
        Ok(Self {
            name: study.name.clone(),
            seeds: study.seeds.clone(),
            baseline: study.baseline.clone(),
            trials: study.trials.clone(),
            arms: arms.collect::<Result<_, ExperimentError>>()?,
        })
    }

    /// Reads the file of a directory; `None` where there is none.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, ExperimentError> {
        let path = directory.join(Self::FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ExperimentError::file("read", &path)(error)),
        };
        let identity = serde_json::from_str(&text)
            .map_err(|error| StudyError::Damaged { path, problem: error.to_string() })?;
        Ok(Some(identity))
    }

    /// Records the study in its directory.
    pub(super) fn write(&self, directory: &Path) -> Result<(), ExperimentError> {
        let path = directory.join(Self::FILE);
        let text = serde_json::to_string_pretty(self).expect("settings are plain data") + "\n";
        twins_files::write_whole(&path, text.as_bytes()).map_err(ExperimentError::file("write", &path))
    }

    /// An arm by its name.
    pub(super) fn arm(&self, name: &str) -> Option<&ArmIdentity> {
        self.arms.iter().find(|arm| arm.name == name)
    }

    /// Every trial: for each arm in order, each candidate in order.
    pub(super) fn trials(&self) -> Vec<StudyJob> {
        let candidates = |arm: &ArmIdentity| match &arm.learning_rate {
            LearningRate::Trials(candidates) => candidates.clone(),
            LearningRate::Given(_) | LearningRate::Of(_) => Vec::new(),
        };
        let of_arm = |arm: &ArmIdentity| {
            let name = arm.name.clone();
            candidates(arm)
                .into_iter()
                .map(move |learning_rate| StudyJob::Trial { arm: name.clone(), learning_rate })
        };
        self.arms.iter().flat_map(of_arm).collect()
    }

    /// Every run.
    pub(super) fn runs(&self) -> Vec<StudyJob> {
        StudyJob::runs(&self.seeds, self.arms.iter().map(|arm| arm.name.as_str()))
    }

    /// The settings that a job has to have; `rate` is the learning rate of a run.
    pub(super) fn settings(&self, job: &StudyJob, rate: f64) -> Option<ExperimentConfig> {
        let arm = self.arm(job.arm())?;
        match job {
            StudyJob::Trial { learning_rate, .. } => {
                let seed = self.trials.as_ref()?.seed;
                Some(with_seed_and_rate(arm.trial.clone()?, seed, *learning_rate))
            }
            StudyJob::Run { seed, .. } => Some(with_seed_and_rate(arm.run.clone(), *seed, rate)),
        }
    }

    /// In what a study that is resumed differs from this one. Seeds and arms may be added; name and baseline are of the report alone.
    pub(super) fn differences_of_resumed(&self, recorded: &Self) -> Vec<String> {
        let seeds = recorded.seeds.iter().filter(|seed| !self.seeds.contains(seed));
        let mut found: Vec<String> = seeds.map(|seed| format!("seed {seed} is missing now")).collect();
        let own_trials = json!({ "trials": self.trials });
        collect_differences("", &json!({ "trials": recorded.trials }), &own_trials, &mut found);
        for arm in &recorded.arms {
            match self.arm(&arm.name) {
                None => found.push(format!("arm \"{}\" is missing now", arm.name)),
                Some(own) => collect_differences(
                    &format!("arm \"{}\": ", arm.name),
                    &plain(arm),
                    &plain(own),
                    &mut found,
                ),
            }
        }
        found
    }

    /// In what two studies differ that are to be merged.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let by_name = |identity: &Self| {
            let mut value = plain(identity);
            let arms = identity.arms.iter().map(|arm| (format!("\"{}\"", arm.name), plain(arm))).collect();
            value["arms"] = Value::Object(arms);
            value["order of the arms"] =
                plain(&identity.arms.iter().map(|arm| &arm.name).collect::<Vec<_>>());
            value
        };
        let mut found = Vec::new();
        collect_differences("", &by_name(self), &by_name(other), &mut found);
        found
    }
}

/// Settings without what may change between runs of one study: devices, memory, logs, and where the weights are.
pub(super) fn comparable(config: &ExperimentConfig) -> ExperimentConfig {
    let mut config = config.clone();
    config.compute = ComputeConfig::default();
    config.log = LogConfig::default();
    config.data.cache_mib = DataConfig::default().cache_mib;
    config.model.weights = None;
    config
}

fn with_seed_and_rate(mut config: ExperimentConfig, seed: u64, learning_rate: f64) -> ExperimentConfig {
    (config.training.seed, config.training.learning_rate) = (seed, learning_rate);
    config
}

fn hash(path: &Path, known: &mut HashMap<PathBuf, FileHash>) -> Result<FileHash, ExperimentError> {
    if let Some(hash) = known.get(path) {
        return Ok(hash.clone());
    }
    let hash = FileHash::of(path)?;
    known.insert(path.to_owned(), hash.clone());
    Ok(hash)
}
