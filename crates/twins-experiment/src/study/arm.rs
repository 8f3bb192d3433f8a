use serde::{Deserialize, Serialize};

use super::{Candidate, SettingsOf, TrialsConfig};
use crate::error::ExperimentError;
use crate::experiment::Experiment;
use crate::settings::{Draft, Layer, TestMeasurement};

/// An arm with its complete settings.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Arm {
    pub(super) name: String,
    pub(super) draft: Draft,
    pub(super) settings_from: SettingsFrom,
    /// The candidates that it may run with: its own, those of the arm whose settings it takes, or an empty one.
    pub(super) tried: Vec<Candidate>,
}

/// The source of an arm's learning rate and of the other settings that trials choose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SettingsFrom {
    /// The arm gives the learning rate itself.
    Given(f64),
    /// The best of these candidates, chosen by trials.
    Trials(Vec<Candidate>),
    /// Another arm.
    Of(SettingsOf),
}

impl SettingsFrom {
    /// The candidates that trials compare.
    pub(super) fn candidates(&self) -> &[Candidate] {
        match self {
            Self::Trials(candidates) => candidates,
            Self::Given(_) | Self::Of(_) => &[],
        }
    }
}

impl Arm {
    /// The run of a seed, with the chosen settings on top of the arm's.
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
        let candidate = self.layer(source, candidate).map_err(|error| error.of_arm(&self.name))?;
        let seed = Layer::setting(source, "training.seed", seed)?;
        let draft = std::iter::once(candidate)
            .chain(layers)
            .chain([seed])
            .fold(self.draft.clone(), Draft::with_layer);
        Self::resolve(&self.name, &draft)
    }

    /// The settings of a candidate. Settings taken from another arm may have no effect in this one.
    fn layer(&self, source: &str, candidate: &Candidate) -> Result<Layer, ExperimentError> {
        let layer = candidate.layer(source)?;
        Ok(match &self.settings_from {
            SettingsFrom::Of(_) => layer.shared(),
            SettingsFrom::Given(_) | SettingsFrom::Trials(_) => layer,
        })
    }

    pub(super) fn resolve(name: &str, draft: &Draft) -> Result<Experiment, ExperimentError> {
        draft.resolve().map_err(|error| error.of_arm(name))
    }
}
