//! Prints the effective settings for `--show-config`.

use burn_twins::experiment::{
    ComputeConfig, DataConfig, EvaluationConfig, Experiment, InitialModel, LogConfig, RunDirectory,
};
use burn_twins::train::EffectiveConfig;
use serde::Serialize;

use crate::support::Outcome;
use crate::support::output::{note, say};
use crate::training::{TrainingOptions, run_directory};

/// The settings of an experiment, including those derived from others.
#[derive(Serialize)]
struct Settings<'a> {
    data: &'a DataConfig,
    model: &'a InitialModel,
    training: EffectiveConfig,
    evaluation: &'a EvaluationConfig,
    compute: &'a ComputeConfig,
    log: &'a LogConfig,
}

/// Prints the settings of an experiment as JSON, which `--config` accepts, and their sources on standard error. With `--resume`, they are
/// those with which the run in `--out` continues.
pub fn show(options: &TrainingOptions, experiment: &Experiment) -> Outcome {
    let config = match options.out.as_ref().filter(|_| options.resume) {
        Some(out) => experiment.resumed_settings(&RunDirectory::new(run_directory(out, experiment)))?,
        None => experiment.config().clone(),
    };
    let settings = Settings {
        data: &config.data,
        model: &config.model,
        training: config.training.effective()?,
        evaluation: &config.evaluation,
        compute: &config.compute,
        log: &config.log,
    };
    say!("{}", serde_json::to_string_pretty(&settings)?);
    note!("from {}", experiment.sources());
    note!("validation: {}", experiment.describe_validation()?);
    note!("test: {}", experiment.test_protocol()?);
    Ok(())
}
