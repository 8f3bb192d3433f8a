use serde::{Deserialize, Serialize};

use super::Candidate;
use crate::settings::{Layer, short};

/// The settings of a study as a user writes them: experiments that differ in a few settings, each with several seeds. The values are not
/// checked; [`check`](Self::check) validates them and returns a [`Study`](super::Study).
///
/// | setting | default | purpose |
/// |---|---|---|
/// | `name` | `Study` | title of the report |
/// | `seeds` | required | one run of each arm for each seed |
/// | `baseline` | the first arm | the arm with which the others are compared |
/// | `experiment` | the default settings | shared settings of all arms; later layers override earlier ones |
/// | `trials` | none | choice of each arm's learning rate, and of other settings, on validation images ([`TrialsConfig`]) |
/// | `arms` | required | the arms to compare ([`ArmConfig`]) |
///
/// [`read`](Self::read) reads it from a TOML file. A program creates it from values:
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
    /// The arm with which the others are compared; the first one if `None`.
    pub baseline: Option<String>,
    /// The settings that all arms share; later layers override earlier ones.
    pub experiment: Vec<Layer>,
    /// The trials that choose among the candidates of the arms; no trials if `None`.
    pub trials: Option<TrialsConfig>,
    /// The arms to compare, in the order of the table.
    pub arms: Vec<ArmConfig>,
}

/// The trials that choose each arm's learning rate and other settings: one training for each candidate, evaluated on validation images
/// only.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialsConfig {
    /// The candidates of arms that do not give their own.
    pub candidates: Vec<Candidate>,
    /// The seed of the trials, which must not be one of the study's seeds.
    pub seed: u64,
    /// The number of epochs of the trials; that of the runs if `None`.
    pub epochs: Option<usize>,
}

/// An arm of a study: what is trained with every seed.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmConfig {
    /// The name in the table, and of the arm's directory.
    pub name: String,
    /// The settings of the arm, which override the shared ones; later layers override earlier ones.
    pub settings: Vec<Layer>,
    /// The candidates of the arm's trials, as many as for other arms; those of [`TrialsConfig`] if `None`.
    pub candidates: Option<Vec<Candidate>>,
    /// Takes the settings of another arm, without own trials.
    pub settings_of: Option<SettingsOf>,
}

/// A reference to the settings of another arm: its learning rate times a factor, and every other setting that it gives or that its trials
/// chose, except settings that the arm gives itself. A setting that does not apply to the method of the arm, such as lambda without a frozen wing,
/// has no effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SettingsOf {
    /// The other arm.
    pub arm: String,
    /// The factor by which its learning rate is multiplied.
    #[serde(default = "one")]
    pub learning_rate_factor: f64,
}

fn one() -> f64 {
    1.0
}

impl StudyConfig {
    /// The title of a study without a name.
    pub(super) const DEFAULT_NAME: &str = "Study";

    /// Creates a study without arms.
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

    /// Sets the arm with which the others are compared.
    #[must_use]
    pub fn with_baseline(mut self, baseline: impl Into<String>) -> Self {
        self.baseline = Some(baseline.into());
        self
    }

    /// Adds settings that all arms share; they override the previous ones.
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
    /// Creates trials with one training for each learning rate, with a seed that no run uses.
    pub fn new(learning_rates: impl IntoIterator<Item = f64>, seed: u64) -> Self {
        Self::of_candidates(learning_rates.into_iter().map(Candidate::of_learning_rate), seed)
    }

    /// Creates trials with one training for each candidate, with a seed that no run uses.
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
    /// Creates an arm with only the shared settings.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), settings: Vec::new(), candidates: None, settings_of: None }
    }

    /// Adds settings of the arm, which override the shared ones.
    #[must_use]
    pub fn with_layer(mut self, layer: Layer) -> Self {
        self.settings.push(layer);
        self
    }

    /// Whether it gives a setting, by the key of a candidate, or one below or above it: `adversary.start = "uniform"` replaces
    /// `adversary.start.gaussian`.
    pub(super) fn gives(&self, key: &str) -> bool {
        let is_in = |key: &str, table: &str| {
            key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let given = self.settings.iter().flat_map(Layer::keys);
        given.map(|given| short(&given).to_owned()).any(|given| is_in(&given, key) || is_in(key, &given))
    }

    /// Sets the learning rates that the arm's trials compare.
    #[must_use]
    pub fn with_learning_rates(self, learning_rates: impl IntoIterator<Item = f64>) -> Self {
        self.with_candidates(learning_rates.into_iter().map(Candidate::of_learning_rate))
    }

    /// Sets the candidates that the arm's trials compare.
    #[must_use]
    pub fn with_candidates(mut self, candidates: impl IntoIterator<Item = Candidate>) -> Self {
        self.candidates = Some(candidates.into_iter().collect());
        self
    }

    /// Takes the settings chosen for another arm ([`SettingsOf`]), with its learning rate times a factor.
    #[must_use]
    pub fn with_settings_of(mut self, arm: impl Into<String>, learning_rate_factor: f64) -> Self {
        self.settings_of = Some(SettingsOf { arm: arm.into(), learning_rate_factor });
        self
    }
}
