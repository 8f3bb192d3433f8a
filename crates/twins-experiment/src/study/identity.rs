use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use twins_train::Method;

use super::arm::{Arm, SettingsFrom};
use super::check::{MOST_ARMS, is_arm_name};
use super::{Candidate, Study, StudyError, StudyJob, TrialsConfig};
use crate::error::ExperimentError;
use crate::model::FileHash;
use crate::run::collect_differences;
use crate::settings::{ComputeConfig, DataConfig, ExperimentConfig, LogConfig, plain};

/// The content of `study.json`: the identity of a study, without its devices. The results are computed from it and the directories of the
/// runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct StudyIdentity {
    /// The title.
    pub(super) name: String,
    /// One run of each arm for each seed.
    pub(super) seeds: Vec<u64>,
    /// The arm with which the others are compared.
    pub(super) baseline: String,
    /// What all trials have in common; `None` if the study has no trials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trials: Option<TrialsIdentity>,
    /// The arms, in the order of the table.
    pub(super) arms: Vec<ArmIdentity>,
}

/// The settings that all trials share; the arms have the candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct TrialsIdentity {
    /// The seed.
    seed: u64,
    /// The number of epochs; `None` for that of the runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epochs: Option<usize>,
}

/// An arm with its resolved settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct ArmIdentity {
    /// The name.
    pub(super) name: String,
    /// The source of the learning rate and of the other settings that trials choose.
    pub(super) settings_from: SettingsFrom,
    /// The resolved settings of each candidate that it may run with.
    resolved: Vec<ResolvedSettings>,
}

/// The settings of an arm with those of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct ResolvedSettings {
    /// The candidate.
    candidate: Candidate,
    /// Size and hash of the initial weights; `None` if these are drawn from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weights: Option<FileHash>,
    /// The settings of a run, with the seed 0 in place of the run's, and default devices and logs.
    run: ExperimentConfig,
    /// The settings of a trial, likewise; `None` if the arm has no trials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial: Option<ExperimentConfig>,
}

/// The expected settings of a job.
pub(super) struct Expected<'a> {
    pub(super) settings: ExperimentConfig,
    pub(super) weights: Option<&'a FileHash>,
}

impl ArmIdentity {
    fn new(
        study: &Study,
        arm: &Arm,
        hashes: &mut HashMap<PathBuf, FileHash>,
    ) -> Result<Self, ExperimentError> {
        let mut resolve = |candidate: &Candidate, trials: Option<&TrialsConfig>| {
            let run = arm.run(study.seeds[0], candidate)?;
            let trial = trials.map(|trials| arm.trial(trials, candidate)).transpose()?;
            let weights = match &run.config().model.weights {
                Some(path) => Some(hash(path, hashes).map_err(|error| error.of_arm(&arm.name))?),
                None => None,
            };
            let template = |config: &ExperimentConfig| with_seed(comparable(config), 0);
            let (run, trial) = (template(run.config()), trial.map(|trial| template(trial.config())));
            Ok::<_, ExperimentError>(ResolvedSettings { candidate: candidate.clone(), weights, run, trial })
        };
        let trials = match &arm.settings_from {
            SettingsFrom::Trials(_) => study.trials.as_ref(),
            SettingsFrom::Given(_) | SettingsFrom::Of(_) => None,
        };
        let resolved = arm.tried.iter().map(|candidate| resolve(candidate, trials));
        let resolved = resolved.collect::<Result<_, _>>()?;
        Ok(Self { name: arm.name.clone(), settings_from: arm.settings_from.clone(), resolved })
    }

    /// The resolved settings of a candidate.
    fn resolved(&self, candidate: &Candidate) -> Option<&ResolvedSettings> {
        self.resolved.iter().find(|resolved| resolved.candidate == *candidate)
    }

    /// The candidate that this arm runs with if `chosen` was chosen for the arm whose settings it takes.
    pub(super) fn taken(&self, other: &Self, chosen: &Candidate) -> Option<Candidate> {
        let place = other.resolved.iter().position(|resolved| resolved.candidate == *chosen)?;
        Some(self.resolved.get(place)?.candidate.clone())
    }

    /// The method with the settings that were chosen, or that of the first candidate.
    pub(super) fn method(&self, chosen: Option<&Candidate>) -> Method {
        let resolved = chosen.and_then(|chosen| self.resolved(chosen)).unwrap_or(&self.resolved[0]);
        resolved.run.training.method
    }

    /// The learning rate with the settings that were chosen.
    pub(super) fn learning_rate(&self, chosen: &Candidate) -> Option<f64> {
        Some(self.resolved(chosen)?.run.training.learning_rate)
    }

    /// Adds the differences between the settings of an arm and its recorded ones, each once.
    fn differences(&self, recorded: &Self, found: &mut Vec<String>) {
        let place = format!("arm \"{}\": ", self.name);
        let from = |arm: &Self| json!({ "settings_from": arm.settings_from });
        collect_differences(&place, &from(recorded), &from(self), found);
        for own in &self.resolved {
            let Some(recorded) = recorded.resolved(&own.candidate) else { continue };
            let mut differences = Vec::new();
            collect_differences(&place, &plain(recorded), &plain(own), &mut differences);
            differences.retain(|difference| !found.contains(difference));
            found.extend(differences);
        }
    }
}

impl StudyIdentity {
    /// The name of the file in the directory of a study.
    pub(super) const FILE: &str = "study.json";

    /// Creates the identity of a study; this reads the files of initial weights to hash them.
    pub(super) fn new(study: &Study) -> Result<Self, ExperimentError> {
        let mut hashes = HashMap::new();
        let arms = study.arms.iter().map(|arm| ArmIdentity::new(study, arm, &mut hashes));
        Ok(Self {
            name: study.name.clone(),
            seeds: study.seeds.clone(),
            baseline: study.baseline.clone(),
            arms: arms.collect::<Result<_, ExperimentError>>()?,
            trials: study
                .trials
                .as_ref()
                .map(|trials| TrialsIdentity { seed: trials.seed, epochs: trials.epochs }),
        })
    }

    /// Reads the file of a directory; `None` if there is none.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, ExperimentError> {
        let path = directory.join(Self::FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ExperimentError::file("read", &path)(error)),
        };
        let damaged = |problem| StudyError::Damaged { path: path.clone(), problem };
        let identity: Self = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        identity.check().map_err(damaged)?;
        Ok(Some(identity))
    }

    /// Checks what every study has that was checked before it was recorded: arms with names of their own, seeds, and settings to run each
    /// arm with, whatever is chosen for it.
    fn check(&self) -> Result<(), String> {
        if self.arms.len() > MOST_ARMS {
            return Err(format!("it has {} arms, more than {MOST_ARMS}", self.arms.len()));
        }
        let (mut names, mut seeds) = (HashSet::new(), HashSet::new());
        if let Some(seed) = self.seeds.iter().find(|seed| !seeds.insert(**seed)) {
            return Err(format!("it has the seed {seed} twice"));
        }
        let trials = self.arms.iter().map(|arm| arm.settings_from.candidates().len());
        let jobs = trials.fold(self.seeds.len().saturating_mul(self.arms.len()), usize::saturating_add);
        if jobs > MOST_JOBS {
            return Err(format!("it has {jobs} trials and runs, more than {MOST_JOBS}"));
        }
        for arm in &self.arms {
            let name = &arm.name;
            if !is_arm_name(name) || !names.insert(name.to_ascii_lowercase()) {
                return Err(format!("\"{name}\" cannot be the name of an arm, or is that of two"));
            }
            let complete = !arm.resolved.is_empty()
                && match &arm.settings_from {
                    SettingsFrom::Given(_) => arm.resolved(&Candidate::new()).is_some(),
                    SettingsFrom::Trials(candidates) => {
                        candidates.iter().all(|candidate| arm.resolved(candidate).is_some())
                    }
                    SettingsFrom::Of(_) => self.takes_settings(arm),
                };
            if !complete {
                return Err(format!("arm \"{name}\" lacks settings that it may be run with"));
            }
        }
        Ok(())
    }

    /// Whether an arm that takes its settings from another one leads to an arm of its own settings, and has as many settings as each of
    /// the arms on the way.
    fn takes_settings(&self, arm: &ArmIdentity) -> bool {
        let mut current = arm;
        // A way that is longer leads in a circle.
        for _ in 0..self.arms.len() {
            let SettingsFrom::Of(of) = &current.settings_from else { return true };
            match self.arm(&of.arm) {
                Some(other) if other.resolved.len() <= current.resolved.len() => current = other,
                _ => return false,
            }
        }
        false
    }

    /// Records the study in its directory.
    pub(super) fn write(&self, directory: &Path) -> Result<(), ExperimentError> {
        let path = directory.join(Self::FILE);
        let text = serde_json::to_string_pretty(self).expect("settings are plain data") + "\n";
        twins_files::write_atomic(&path, text.as_bytes()).map_err(ExperimentError::file("write", &path))
    }

    /// An arm by its name.
    pub(super) fn arm(&self, name: &str) -> Option<&ArmIdentity> {
        self.arms.iter().find(|arm| arm.name == name)
    }

    /// Every trial: for each arm in order, each candidate in order.
    pub(super) fn trials(&self) -> Vec<StudyJob> {
        let of_arm = |arm: &'_ ArmIdentity| {
            let name = arm.name.clone();
            let candidates = arm.settings_from.candidates().to_vec().into_iter();
            candidates.map(move |candidate| StudyJob::Trial { arm: name.clone(), candidate })
        };
        self.arms.iter().flat_map(of_arm).collect()
    }

    /// Every run.
    pub(super) fn runs(&self) -> Vec<StudyJob> {
        StudyJob::runs(&self.seeds, self.arms.iter().map(|arm| arm.name.as_str()))
    }

    /// The expected settings of a job; `chosen` holds the settings of a run that trials or another arm chose.
    pub(super) fn expected(&self, job: &StudyJob, chosen: &Candidate) -> Option<Expected<'_>> {
        let arm = self.arm(job.arm())?;
        let (resolved, settings) = match job {
            StudyJob::Trial { candidate, .. } => {
                let resolved = arm.resolved(candidate)?;
                (resolved, with_seed(resolved.trial.clone()?, self.trials.as_ref()?.seed))
            }
            StudyJob::Run { seed, .. } => {
                let resolved = arm.resolved(chosen)?;
                (resolved, with_seed(resolved.run.clone(), *seed))
            }
        };
        Some(Expected { settings, weights: resolved.weights.as_ref() })
    }

    /// The differences between this study and the recorded one that prevent resuming it. Seeds and arms may be added; name and baseline
    /// affect only the report.
    pub(super) fn differences_of_resumed(&self, recorded: &Self) -> Vec<String> {
        let seeds = recorded.seeds.iter().filter(|seed| !self.seeds.contains(seed));
        let mut found: Vec<String> = seeds.map(|seed| format!("seed {seed} is missing now")).collect();
        let own_trials = json!({ "trials": self.trials });
        collect_differences("", &json!({ "trials": recorded.trials }), &own_trials, &mut found);
        for arm in &recorded.arms {
            match self.arm(&arm.name) {
                None => found.push(format!("arm \"{}\" is missing now", arm.name)),
                Some(own) => own.differences(arm, &mut found),
            }
        }
        found
    }

    /// The differences between two studies that prevent merging them.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let without_arms = |identity: &Self| {
            json!({
                "name": identity.name,
                "seeds": identity.seeds,
                "baseline": identity.baseline,
                "trials": identity.trials,
                "arms": identity.arms.iter().map(|arm| &arm.name).collect::<Vec<_>>(),
            })
        };
        let mut found = Vec::new();
        collect_differences("", &without_arms(self), &without_arms(other), &mut found);
        for arm in &self.arms {
            if let Some(other) = other.arm(&arm.name) {
                other.differences(arm, &mut found);
            }
        }
        found
    }
}

/// The most trials and runs that a study may have: more than anyone can train, and few enough to be listed.
pub(super) const MOST_JOBS: usize = 10_000;

/// The settings without those that may change between runs of one study: devices, memory, logs, and the location of the weights.
pub(super) fn comparable(config: &ExperimentConfig) -> ExperimentConfig {
    let mut config = config.clone();
    config.compute = ComputeConfig::default();
    config.log = LogConfig::default();
    config.data.cache_mib = DataConfig::default().cache_mib;
    config.model.weights = None;
    config
}

fn with_seed(mut config: ExperimentConfig, seed: u64) -> ExperimentConfig {
    config.training.seed = seed;
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
