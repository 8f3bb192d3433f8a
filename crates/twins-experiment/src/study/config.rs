use serde::{Deserialize, Serialize};

use super::Candidate;
use crate::settings::Layer;

/// A study as a user writes it: experiments that differ in a few settings, each with several seeds. Nothing has been checked:
/// [`check`](Self::check) makes a [`Study`](super::Study) of it.
///
/// | setting | default | purpose |
/// |---|---|---|
/// | `name` | `Study` | title of the report |
/// | `seeds` | needed | one run of each arm for each of them |
/// | `baseline` | the first arm | paired differences are to this arm |
/// | `experiment` | the usual settings | what all arms share, each layer over those before |
/// | `trials` | none | choice of each arm's learning rate, and of other settings, on validation images ([`TrialsConfig`]) |
/// | `arms` | needed | what is compared ([`ArmConfig`]) |
///
/// [`read`](Self::read) makes one from a TOML file, a program from values:
///
/// ```
/// use twins_experiment::{ArmConfig, Layer, StudyConfig};
/// use twins_train::Method;
///
/// # fn main() -> Result<(), twins_experiment::ExperimentError> {
/// let arm = |method: Method| -> Result<ArmConfig, twins_experiment::ExperimentError> {
///     Ok(ArmConfig::new(method.name()).with_layer(Layer::setting("program", "training.method", method)?))
/// };
/// let study = StudyConfig::new("What TWINS changes", [0, 1, 2])
///     .with_layer(Layer::setting("program", "model.arch", "tiny-resnet")?)
///     .with_arm(arm(Method::At)?)
///     .with_arm(arm(Method::TwinsAt)?)
///     .check()?;
/// assert_eq!(study.runs().len(), 6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StudyConfig {
    /// Title of the report.
    pub name: String,
    /// Seeds of the runs.
    pub seeds: Vec<u64>,
    /// The arm that the others are compared with; the first one where it is `None`.
    pub baseline: Option<String>,
    /// What all arms share, each layer over those before.
    pub experiment: Vec<Layer>,
    /// Choice among the candidates of the arms; none where it is `None`.
    pub trials: Option<TrialsConfig>,
    /// What is compared, in the order of the table.
    pub arms: Vec<ArmConfig>,
}

/// The choice of each arm's learning rate and of other settings: one training for each candidate, measured on validation images alone.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialsConfig {
    /// Candidates of the arms that have none of their own.
    pub candidates: Vec<Candidate>,
    /// Seed of the trainings; not one of the study's.
    pub seed: u64,
    /// Epochs of the trainings; those of the runs where it is `None`.
    pub epochs: Option<usize>,
}

/// An arm of a study: what is trained with every seed.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmConfig {
    /// The name in the table, and of the arm's directory.
    pub name: String,
    /// Settings over the shared ones, each layer over those before.
    pub settings: Vec<Layer>,
    /// What its trials try, as many as those of other arms; the candidates of the trials where it is `None`.
    pub candidates: Option<Vec<Candidate>>,
    /// Takes what was chosen for another arm, without trials.
    pub settings_of: Option<SettingsOf>,
}

/// What was chosen for another arm: its learning rate times a factor, and every other setting that its trials tried, but for those that the
/// arm gives itself. A setting that does not fit the method of the arm, such as lambda without a frozen wing, has no effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsOf {
    /// The other arm.
    pub arm: String,
    /// What its learning rate is multiplied by.
    #[serde(default = "one")]
    pub learning_rate_factor: f64,
}

fn one() -> f64 {
    1.0
}

impl StudyConfig {
    /// The title of a study without a name.
    pub(super) const DEFAULT_NAME: &str = "Study";

    /// A study without arms.
    pub fn new(name: impl Into<String>, seeds: impl IntoIterator<Item = u64>) -> Self {
        Self {
            name: name.into(),
            seeds: seeds.into_iter().collect(),
            baseline: None,
            experiment: Vec::new(),
            trials: None,
            arms: Vec::new(),
        }
    }

    /// Sets the arm that the others are compared with.
    #[must_use]
    pub fn with_baseline(mut self, baseline: impl Into<String>) -> Self {
        self.baseline = Some(baseline.into());
        self
    }

    /// Puts settings over those that all arms share.
    #[must_use]
    pub fn with_layer(mut self, layer: Layer) -> Self {
        self.experiment.push(layer);
        self
    }

    /// Sets how learning rates and other settings are chosen.
    #[must_use]
    pub fn with_trials(mut self, trials: TrialsConfig) -> Self {
        self.trials = Some(trials);
        self
    }

    /// Adds an arm.
    #[must_use]
    pub fn with_arm(mut self, arm: ArmConfig) -> Self {
        self.arms.push(arm);
        self
    }
}

impl TrialsConfig {
    /// One training for each learning rate, with a seed that no run has.
    pub fn new(learning_rates: impl IntoIterator<Item = f64>, seed: u64) -> Self {
        Self::of_candidates(learning_rates.into_iter().map(Candidate::of_learning_rate), seed)
    }

    /// One training for each candidate, with a seed that no run has.
    pub fn of_candidates(candidates: impl IntoIterator<Item = Candidate>, seed: u64) -> Self {
        Self { candidates: candidates.into_iter().collect(), seed, epochs: None }
    }

    /// Sets the number of epochs.
    #[must_use]
    pub fn with_epochs(mut self, epochs: Option<usize>) -> Self {
        self.epochs = epochs;
        self
    }
}

impl ArmConfig {
    /// An arm with nothing but the shared settings.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), settings: Vec::new(), candidates: None, settings_of: None }
    }

    /// Puts settings over the shared ones.
    #[must_use]
    pub fn with_layer(mut self, layer: Layer) -> Self {
        self.settings.push(layer);
        self
    }

    /// Whether it gives a setting, by the key of a candidate.
    pub(super) fn gives(&self, key: &str) -> bool {
        let long = format!("training.{key}");
        self.settings.iter().any(|layer| layer.gives(key) || layer.gives(&long))
    }

    /// Sets learning rates to try.
    #[must_use]
    pub fn with_learning_rates(self, learning_rates: impl IntoIterator<Item = f64>) -> Self {
        self.with_candidates(learning_rates.into_iter().map(Candidate::of_learning_rate))
    }

    /// Sets what to try: learning rates, or any other settings.
    #[must_use]
    pub fn with_candidates(mut self, candidates: impl IntoIterator<Item = Candidate>) -> Self {
        self.candidates = Some(candidates.into_iter().collect());
        self
    }

    /// Takes what was chosen for another arm ([`SettingsOf`]), its learning rate times a factor.
    #[must_use]
    pub fn with_settings_of(mut self, arm: impl Into<String>, learning_rate_factor: f64) -> Self {
        self.settings_of = Some(SettingsOf { arm: arm.into(), learning_rate_factor });
        self
    }
}
