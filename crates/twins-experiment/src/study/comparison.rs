//! Checks that the runs and trials of a study can be compared: each resolves to an experiment, and all are evaluated in the same way.

use super::arm::{Arm, SettingsFrom};
use super::identity::comparable;
use super::{Candidate, Study, StudyError};
use crate::error::ExperimentError;
use crate::experiment::Experiment;
use crate::settings::{ExperimentConfig, TestMeasurement, plain};

impl Study {
    /// Resolves every run and trial, and compares their evaluation settings.
    pub(super) fn check_experiments(&self) -> Result<(), ExperimentError> {
        let mut first: Option<(&str, Experiment)> = None;
        for arm in &self.arms {
            self.check_trials(arm)?;
            // Trials may choose any of them.
            for candidate in &arm.tried {
                let experiment = arm.run(self.seeds[0], candidate)?;
                check_measured(arm, &experiment)?;
                match &first {
                    None => first = Some((&arm.name, experiment)),
                    Some((other, other_experiment)) => {
                        check_same_measurement(arm, &experiment, other, other_experiment)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks that the trials of an arm differ, and that their accuracies can be compared.
    fn check_trials(&self, arm: &Arm) -> Result<(), ExperimentError> {
        let (Some(trials), SettingsFrom::Trials(candidates)) = (&self.trials, &arm.settings_from) else {
            return Ok(());
        };
        let mut before: Vec<(&Candidate, Experiment, ExperimentConfig)> = Vec::new();
        for candidate in candidates {
            let experiment = arm.trial(trials, candidate)?;
            let config = experiment.config();
            if config.training.validation.fraction.is_none() {
                return Err(StudyError::NoValidation { arm: arm.name.clone() }.into());
            }
            let name = || arm.name.clone();
            let compared = comparable(config);
            let same = |other: &Experiment, others: &ExperimentConfig| {
                *others == compared && other.config().model.weights == config.model.weights
            };
            if let Some((other, ..)) = before.iter().find(|(_, other, others)| same(other, others)) {
                let (candidate, other) = (candidate.clone(), (*other).clone());
                return Err(StudyError::SameTrial { arm: name(), candidate, other }.into());
            }
            if let Some((other, first, _)) = before.first() {
                let values =
                    |experiment: &Experiment| validation(experiment).map_err(|error| error.of_arm(&arm.name));
                if let Some((setting, value, other_value)) =
                    first_difference(values(&experiment)?, values(first)?)
                {
                    let candidates = Box::new([candidate.clone(), (*other).clone()]);
                    return Err(StudyError::OtherValidation {
                        arm: name(),
                        candidates,
                        setting,
                        value,
                        other_value,
                    }
                    .into());
                }
            }
            before.push((candidate, experiment, compared));
        }
        Ok(())
    }
}

/// Checks that an arm has a model and is evaluated on the test images.
fn check_measured(arm: &Arm, experiment: &Experiment) -> Result<(), ExperimentError> {
    let config = experiment.config();
    if config.model.weights.is_none() && config.model.arch.is_none() {
        return Err(ExperimentError::NoModel.of_arm(&arm.name));
    }
    match config.evaluation.test {
        TestMeasurement::Skipped => Err(StudyError::NoTest { arm: arm.name.clone() }.into()),
        TestMeasurement::Measured => Ok(()),
    }
}

fn check_same_measurement(
    arm: &Arm,
    experiment: &Experiment,
    other: &str,
    other_experiment: &Experiment,
) -> Result<(), ExperimentError> {
    let values = |experiment: &Experiment| measurement(experiment).map_err(|error| error.of_arm(&arm.name));
    match first_difference(values(experiment)?, values(other_experiment)?) {
        Some((setting, value, other_value)) => {
            let (arm, other) = (arm.name.clone(), other.to_owned());
            Err(StudyError::OtherMeasurement { arm, other, setting, value, other_value }.into())
        }
        None => Ok(()),
    }
}

/// A setting with its value in words.
type Value = (&'static str, String);

/// The first setting that differs, with both values.
fn first_difference(own: Vec<Value>, others: Vec<Value>) -> Option<(&'static str, String, String)> {
    let mut pairs = own.into_iter().zip(others);
    pairs.find(|(own, other)| own != other).map(|((setting, value), (_, other))| (setting, value, other))
}

/// The settings that must be equal for the validation accuracies of two trainings to be comparable.
fn validation(experiment: &Experiment) -> Result<Vec<Value>, ExperimentError> {
    let config = experiment.config();
    let validation = &config.training.validation;
    let limit = config.data.train_images.map_or("all".to_owned(), |limit| limit.to_string());
    Ok(vec![
        ("data.source", config.data.source.to_string()),
        ("data.train_images", limit),
        ("data.preprocessing", plain(&config.data.preprocessing).to_string()),
        ("validation.fraction", plain(&validation.fraction).to_string()),
        ("validation.seed", validation.seed.to_string()),
        ("validation.groups", validation.groups.to_string()),
        ("the attack of the validation", config.training.validation_protocol()?.to_string()),
    ])
}

/// The settings, with values, that must be equal for two results to be comparable.
fn measurement(experiment: &Experiment) -> Result<Vec<Value>, ExperimentError> {
    let config = experiment.config();
    let limit = config.data.test_images.map_or("all".to_owned(), |limit| limit.to_string());
    let preprocessing = plain(&config.data.preprocessing);
    Ok(vec![
        ("data.source", config.data.source.to_string()),
        ("data.test_images", limit),
        ("data.preprocessing", preprocessing.to_string()),
        ("training.validation.fraction", plain(&config.training.validation.fraction).to_string()),
        ("training.validation.seed", config.training.validation.seed.to_string()),
        ("training.validation.groups", config.training.validation.groups.to_string()),
        ("the attack of the test", experiment.test_protocol()?.to_string()),
        ("evaluation.autoattack", config.evaluation.autoattack.to_string()),
        ("evaluation.last", config.evaluation.last.name().to_owned()),
    ])
}
