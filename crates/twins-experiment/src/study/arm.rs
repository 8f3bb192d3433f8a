use serde::{Deserialize, Serialize};

use super::{LearningRateOf, TrialsConfig};
use crate::error::ExperimentError;
use crate::experiment::Experiment;
use crate::settings::{Draft, Layer, TestMeasurement};

/// An arm whose settings have been put together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Arm {
    pub(super) name: String,
    pub(super) draft: Draft,
    pub(super) rate: LearningRate,
}

/// Where the learning rate of an arm comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LearningRate {
    /// The settings.
    Given(f64),
    /// The best of these in a trial.
    Trials(Vec<f64>),
    /// Another arm.
    Of(LearningRateOf),
}

impl LearningRate {
    /// A rate that the arm may have.
    pub(super) fn example(&self) -> Option<f64> {
        match self {
            Self::Given(rate) => Some(*rate),
            Self::Trials(candidates) => candidates.first().copied(),
            Self::Of(_) => None,
        }
    }
}

impl Arm {
    /// The run of a seed, with a learning rate or that of the settings.
    pub(super) fn run(&self, seed: u64, learning_rate: Option<f64>) -> Result<Experiment, ExperimentError> {
        self.experiment("the study", seed, learning_rate, [])
    }

    /// The trial of a learning rate.
    pub(super) fn trial(
        &self,
        trials: &TrialsConfig,
        learning_rate: f64,
    ) -> Result<Experiment, ExperimentError> {
        let source = "[trials]";
        let unmeasured = Layer::setting(source, "evaluation.test", TestMeasurement::Skipped)?;
        let epochs =
            trials.epochs.map(|epochs| Layer::setting(source, "training.epochs", epochs)).transpose()?;
        self.experiment(source, trials.seed, Some(learning_rate), std::iter::once(unmeasured).chain(epochs))
    }

    fn experiment(
        &self,
        source: &str,
        seed: u64,
        learning_rate: Option<f64>,
        layers: impl IntoIterator<Item = Layer>,
    ) -> Result<Experiment, ExperimentError> {
        let rate =
            learning_rate.map(|rate| Layer::setting(source, "training.learning_rate", rate)).transpose()?;
        let seed = Layer::setting(source, "training.seed", seed)?;
        let draft = layers.into_iter().chain(rate).chain([seed]).fold(self.draft.clone(), Draft::with_layer);
        Self::resolve(&self.name, &draft)
    }

    pub(super) fn resolve(name: &str, draft: &Draft) -> Result<Experiment, ExperimentError> {
        draft.resolve().map_err(|error| error.of_arm(name))
    }
}
