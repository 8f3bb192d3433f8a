use serde::{Deserialize, Serialize};

use super::{Candidate, SettingsOf, TrialsConfig};
use crate::error::ExperimentError;
use crate::experiment::Experiment;
use crate::settings::{Draft, Layer, TestMeasurement};

/// An arm whose settings have been put together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Arm {
    pub(super) name: String,
    pub(super) draft: Draft,
    pub(super) settings_from: SettingsFrom,
    /// What it may be run with: its candidates, those of the arm whose settings it takes, or nothing over its own settings.
    pub(super) tried: Vec<Candidate>,
}

/// Where the learning rate of an arm, and what else trials choose, come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingsFrom {
    /// The arm gives the learning rate itself.
    Given(f64),
    /// The best of these in a trial, with its other settings.
    Trials(Vec<Candidate>),
    /// Another arm.
    Of(SettingsOf),
}

impl SettingsFrom {
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
        let candidate = self.layers(source, candidate).map_err(|error| error.of_arm(&self.name))?;
        let seed = Layer::setting(source, "training.seed", seed)?;
        let draft =
            candidate.into_iter().chain(layers).chain([seed]).fold(self.draft.clone(), Draft::with_layer);
        Self::resolve(&self.name, &draft)
    }

    /// The settings of a candidate. Those of another arm may be without effect in this one.
    fn layers(&self, source: &str, candidate: &Candidate) -> Result<Vec<Layer>, ExperimentError> {
        let layers = candidate.layers(source)?;
        Ok(match &self.settings_from {
            SettingsFrom::Of(_) => layers.into_iter().map(Layer::shared).collect(),
            SettingsFrom::Given(_) | SettingsFrom::Trials(_) => layers,
        })
    }

    pub(super) fn resolve(name: &str, draft: &Draft) -> Result<Experiment, ExperimentError> {
        draft.resolve().map_err(|error| error.of_arm(name))
    }
}
