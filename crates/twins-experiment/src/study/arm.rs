use serde::{Deserialize, Serialize};

use super::{Candidate, LearningRateOf, TrialsConfig};
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
    /// The best of these in a trial, with its other settings.
    Trials(Vec<Candidate>),
    /// Another arm.
    Of(LearningRateOf),
}

impl LearningRate {
    /// What trials try.
    pub(super) fn candidates(&self) -> &[Candidate] {
        match self {
            Self::Trials(candidates) => candidates,
            Self::Given(_) | Self::Of(_) => &[],
        }
    }
}

impl Arm {
    /// The run of a seed, with the settings that were chosen over the arm's.
    pub(super) fn run(&self, seed: u64, chosen: &Candidate) -> Result<Experiment, ExperimentError> {
        self.experiment("the study", seed, chosen, [])
    }

    /// The trial of a candidate.
    pub(super) fn trial(
        &self,
        trials: &TrialsConfig,
        candidate: &Candidate,
    ) -> Result<Experiment, ExperimentError> {
        let source = "[trials]";
        let unmeasured = Layer::setting(source, "evaluation.test", TestMeasurement::Skipped)?;
        let epochs =
            trials.epochs.map(|epochs| Layer::setting(source, "training.epochs", epochs)).transpose()?;
        self.experiment(source, trials.seed, candidate, std::iter::once(unmeasured).chain(epochs))
    }

    fn experiment(
        &self,
        source: &str,
        seed: u64,
        candidate: &Candidate,
        layers: impl IntoIterator<Item = Layer>,
    ) -> Result<Experiment, ExperimentError> {
        let candidate = candidate.layers(source).map_err(|error| error.of_arm(&self.name))?;
        let seed = Layer::setting(source, "training.seed", seed)?;
        let draft =
            candidate.into_iter().chain(layers).chain([seed]).fold(self.draft.clone(), Draft::with_layer);
        Self::resolve(&self.name, &draft)
    }

    pub(super) fn resolve(name: &str, draft: &Draft) -> Result<Experiment, ExperimentError> {
        draft.resolve().map_err(|error| error.of_arm(name))
    }
}
