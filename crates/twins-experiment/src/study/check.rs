use std::collections::{HashMap, HashSet};

use super::arm::{Arm, SettingsFrom};
use super::identity::MOST_JOBS;
use super::{ArmConfig, Candidate, SettingsOf, Study, StudyConfig, StudyError, TrialsConfig};
use crate::error::ExperimentError;
use crate::settings::{Draft, Layer};

impl StudyConfig {
    /// Checks every value, and that every run and every trial can be resolved.
    ///
    /// # Errors
    ///
    /// [`ExperimentError::Study`] for errors of the study, and [`ExperimentError::Arm`] for errors in the settings of an arm.
    pub fn check(self) -> Result<Study, ExperimentError> {
        self.check_seeds()?;
        self.check_names()?;
        self.check_seed_settings()?;
        let arms = self.arms.iter().map(|arm| self.arm(arm)).collect::<Result<Vec<_>, _>>()?;
        self.check_jobs(&arms)?;
        self.check_candidates(&arms)?;
        check_references(&arms)?;
        let arms = self.with_taken_settings(arms)?;
        let baseline = self.baseline()?;
        let study = Study::new(self.name, self.seeds, baseline, self.trials, arms);
        study.check_experiments()?;
        Ok(study)
    }

    fn check_seeds(&self) -> Result<(), StudyError> {
        let mut found = HashSet::new();
        if let Some(&seed) = self.seeds.iter().find(|seed| !found.insert(**seed)) {
            return Err(StudyError::DuplicateSeed { seed });
        }
        match &self.trials {
            _ if self.seeds.is_empty() => Err(StudyError::NoSeeds),
            Some(trials) if self.seeds.contains(&trials.seed) => {
                Err(StudyError::TrialsSeed { seed: trials.seed })
            }
            _ => Ok(()),
        }
    }

    fn check_jobs(&self, arms: &[Arm]) -> Result<(), StudyError> {
        let trials = arms.iter().map(|arm| arm.settings_from.candidates().len());
        let jobs = trials.fold(self.seeds.len().saturating_mul(arms.len()), usize::saturating_add);
        if jobs > MOST_JOBS { Err(StudyError::TooManyJobs { jobs, most: MOST_JOBS }) } else { Ok(()) }
    }

    fn check_seed_settings(&self) -> Result<(), StudyError> {
        let gives = |layer: &Layer| layer.gives("training.seed");
        if let Some(layer) = self.experiment.iter().find(|layer| gives(layer)) {
            let source = layer.source();
            let place = if source.starts_with("--") { source } else { "[experiment]" };
            return Err(StudyError::SeedSetting { place: place.to_owned() });
        }
        if let Some(arm) = self.arms.iter().find(|arm| arm.settings.iter().any(gives)) {
            return Err(StudyError::SeedSetting { place: format!("arm \"{}\"", arm.name) });
        }
        let tried = |candidates: &[Candidate]| {
            candidates.iter().any(|candidate| candidate.settings().contains_key("seed"))
        };
        if self.trials.as_ref().is_some_and(|trials| tried(&trials.candidates)) {
            return Err(StudyError::SeedSetting { place: "a candidate of [trials]".to_owned() });
        }
        match self.arms.iter().find(|arm| arm.candidates.as_deref().is_some_and(tried)) {
            Some(arm) => {
                Err(StudyError::SeedSetting { place: format!("a candidate of arm \"{}\"", arm.name) })
            }
            None => Ok(()),
        }
    }

    fn check_names(&self) -> Result<(), StudyError> {
        if self.arms.is_empty() {
            return Err(StudyError::NoArms);
        }
        if self.arms.len() > MOST_ARMS {
            return Err(StudyError::TooManyArms { count: self.arms.len(), most: MOST_ARMS });
        }
        let mut found = HashSet::new();
        for (index, ArmConfig { name, .. }) in self.arms.iter().enumerate() {
            if name.is_empty() {
                return Err(StudyError::NoArmName { number: index + 1 });
            }
            if !is_arm_name(name) {
                return Err(StudyError::ArmName { name: name.clone() });
            }
            // Some file systems do not distinguish upper and lower case.
            if !found.insert(name.to_ascii_lowercase()) {
                return Err(StudyError::DuplicateArm { name: name.clone() });
            }
        }
        Ok(())
    }

    fn baseline(&self) -> Result<String, StudyError> {
        match &self.baseline {
            Some(name) => self.known("baseline", name).map(|()| name.clone()),
            None => Ok(self.arms[0].name.clone()),
        }
    }

    fn known(&self, setting: &str, name: &str) -> Result<(), StudyError> {
        match self.arms.iter().any(|arm| arm.name == name) {
            true => Ok(()),
            false => Err(StudyError::UnknownArm {
                setting: setting.to_owned(),
                name: name.to_owned(),
                arms: self.arm_names(),
            }),
        }
    }

    /// The settings of an arm, after those of the arms from which it takes settings: later layers override earlier ones.
    fn layers(&self, arm: &ArmConfig) -> Vec<Layer> {
        let mut arms = vec![arm];
        while let Some(of) = &arms[arms.len() - 1].settings_of
            && let Some(other) = self.arms.iter().find(|other| other.name == of.arm)
            // A circle is an error, which is found when all arms are known.
            && !arms.iter().any(|known| known.name == other.name)
        {
            arms.push(other);
        }
        // A setting of another arm may not apply to the method of this one.
        let taken =
            arms[1..].iter().rev().flat_map(|other| other.settings.iter().cloned().map(Layer::shared));
        taken.chain(arm.settings.iter().cloned()).collect()
    }

    /// Builds an arm from its settings and the shared ones.
    fn arm(&self, arm: &ArmConfig) -> Result<Arm, ExperimentError> {
        let shared = self.experiment.iter().map(|layer| layer.clone().shared());
        let draft = shared.chain(self.layers(arm)).fold(Draft::new(), Draft::with_layer);
        let draft = without_rename(draft)?;
        let settings_from = self.settings_from(arm, &draft)?;
        let tried = match &settings_from {
            SettingsFrom::Given(_) => vec![Candidate::new()],
            SettingsFrom::Trials(candidates) => candidates.clone(),
            // They are added when all arms are known.
            SettingsFrom::Of(_) => Vec::new(),
        };
        Ok(Arm { name: arm.name.clone(), draft, settings_from, tried })
    }

    fn settings_from(&self, arm: &ArmConfig, draft: &Draft) -> Result<SettingsFrom, ExperimentError> {
        let name = || arm.name.clone();
        let several = |settings| Err(StudyError::SeveralLearningRates { arm: name(), settings }.into());
        let given = arm.settings.iter().any(|layer| layer.gives("training.learning_rate"));
        match (&arm.settings_of, &arm.candidates, &self.trials) {
            (Some(_), Some(own), _) => several(match key(own) {
                LEARNING_RATES => "learning_rates and settings_of",
                _ => "candidates and settings_of",
            }),
            (Some(_), None, _) if given => several("learning_rate and settings_of"),
            (Some(of), None, _) => {
                self.known(&format!("settings_of of arm \"{}\"", arm.name), &of.arm)?;
                let factor = of.learning_rate_factor;
                match factor.is_finite() && factor > 0.0 {
                    true => Ok(SettingsFrom::Of(of.clone())),
                    false => Err(StudyError::Factor { arm: name(), factor }.into()),
                }
            }
            (None, Some(own), None) => Err(StudyError::NoTrials { arm: name(), key: key(own) }.into()),
            (None, own, Some(TrialsConfig { candidates, .. })) => {
                let candidates = own.as_ref().unwrap_or(candidates);
                match chosen_setting(arm, candidates) {
                    Some(setting) => Err(StudyError::ChosenByTrials { arm: name(), setting }.into()),
                    None => Ok(SettingsFrom::Trials(candidates.clone())),
                }
            }
            (None, None, None) => {
                Ok(SettingsFrom::Given(Arm::resolve(&arm.name, draft)?.config().training.learning_rate))
            }
        }
    }

    /// Gives every arm that takes its settings from another arm the candidates of that arm.
    fn with_taken_settings(&self, arms: Vec<Arm>) -> Result<Vec<Arm>, ExperimentError> {
        let mut tried = HashMap::new();
        for arm in &arms {
            self.add_tried(arm, &arms, &mut tried)?;
        }
        let with_tried = |arm: Arm| Arm { tried: tried.remove(&arm.name).unwrap_or_default(), ..arm };
        Ok(arms.into_iter().map(with_tried).collect())
    }

    /// Adds the candidates of an arm, after those of the arm from which it takes its settings.
    fn add_tried(
        &self,
        arm: &Arm,
        arms: &[Arm],
        known: &mut HashMap<String, Vec<Candidate>>,
    ) -> Result<(), ExperimentError> {
        if known.contains_key(&arm.name) {
            return Ok(());
        }
        let tried = match &arm.settings_from {
            SettingsFrom::Given(_) | SettingsFrom::Trials(_) => arm.tried.clone(),
            SettingsFrom::Of(SettingsOf { arm: other, learning_rate_factor }) => {
                let own = self.arms.iter().find(|own| own.name == arm.name);
                let own = own.expect("every arm was made of a setting");
                let other = arms.iter().find(|arm| arm.name == *other).expect("the names have been checked");
                self.add_tried(other, arms, known)?;
                let taken = known[&other.name].iter().map(|candidate| {
                    let rate = other.run(self.seeds[0], candidate)?.config().training.learning_rate;
                    let kept = candidate.clone().without(|key| own.gives(key));
                    Ok(kept.with_learning_rate(rate * learning_rate_factor))
                });
                taken.collect::<Result<_, ExperimentError>>()?
            }
        };
        known.insert(arm.name.clone(), tried);
        Ok(())
    }

    /// Checks that every arm has the same number of candidates, and that they differ.
    fn check_candidates(&self, arms: &[Arm]) -> Result<(), StudyError> {
        let mut first: Option<(&str, usize)> = None;
        for Arm { name, settings_from, .. } in arms {
            let SettingsFrom::Trials(candidates) = settings_from else { continue };
            let arm = || name.clone();
            for (index, candidate) in candidates.iter().enumerate() {
                if candidate.is_empty() {
                    return Err(StudyError::EmptyCandidate { arm: arm(), number: index + 1 });
                }
                if candidates[..index].contains(candidate) {
                    return Err(StudyError::DuplicateCandidate { arm: arm(), candidate: candidate.clone() });
                }
            }
            match first {
                _ if candidates.is_empty() => return Err(StudyError::NoCandidates { arm: arm() }),
                None => first = Some((name, candidates.len())),
                Some((other, other_count)) if other_count != candidates.len() => {
                    return Err(StudyError::OtherNumberOfTrials {
                        arm: arm(),
                        count: candidates.len(),
                        other: other.to_owned(),
                        other_count,
                    });
                }
                Some(_) => (),
            }
        }
        Ok(())
    }
}

/// The most arms of a study. An arm that takes its settings from another one is followed through all arms between, for every run.
pub(super) const MOST_ARMS: usize = 100;

/// Whether a name can be that of an arm, which is also that of a directory.
pub(super) fn is_arm_name(name: &str) -> bool {
    let in_name = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.chars().all(in_name)
}

const LEARNING_RATES: &str = "learning_rates";

/// The key under which a study file gives candidates.
fn key(candidates: &[Candidate]) -> &'static str {
    let others = |candidate: &Candidate| !candidate.without_learning_rate().is_empty();
    if candidates.iter().any(others) { "candidates" } else { LEARNING_RATES }
}

/// Finds a setting that an arm gives although its trials choose it.
fn chosen_setting(arm: &ArmConfig, candidates: &[Candidate]) -> Option<String> {
    let mut tried = candidates.iter().flat_map(|candidate| candidate.settings().keys());
    tried.find(|key| arm.gives(key)).cloned()
}

/// Checks that arms do not take their settings from each other in a circle.
fn check_references(arms: &[Arm]) -> Result<(), StudyError> {
    for arm in arms {
        let (mut path, mut current) = (vec![arm.name.clone()], arm);
        while let SettingsFrom::Of(of) = &current.settings_from {
            let begin = path.iter().position(|name| *name == of.arm);
            path.push(of.arm.clone());
            if let Some(begin) = begin {
                return Err(StudyError::CyclicSettings { arms: path.split_off(begin) });
            }
            current = arms.iter().find(|other| other.name == of.arm).expect("the names have been checked");
        }
    }
    Ok(())
}

/// Removes the shared renames of an arm without weights, because it has nothing to rename.
fn without_rename(draft: Draft) -> Result<Draft, ExperimentError> {
    let given = draft.given()?.model;
    match given.weights.is_none() && !given.rename.is_empty() {
        true => Ok(draft.with_layer(
            Layer::setting("an arm without weights", "model.rename", Vec::<String>::new())?.shared(),
        )),
        false => Ok(draft),
    }
}
