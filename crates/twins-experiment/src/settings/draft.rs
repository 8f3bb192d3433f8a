use serde_json::Value;
use twins_data::DataSource;
use twins_train::{Method, Preset, TrainConfig};

use super::derive::derive;
use super::{ExperimentConfig, Layer, Sources, contradiction, plain};
use crate::builtin;
use crate::error::ExperimentError;
use crate::experiment::Experiment;

/// The default settings of a draft, which layers override.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Defaults {
    /// The paper's settings, or quick settings for the built-in data.
    #[default]
    Usual,
    /// A published setting.
    Preset(Preset),
}

/// A draft of an experiment: settings from several sources, each of which overrides the previous ones.
///
/// Some settings are derived from others if no source gives them: the milestones of the schedule from the number of epochs, the step size
/// from epsilon, and the augmentation from the data.
///
/// ```
/// use twins_experiment::{Draft, Layer};
///
/// # fn main() -> Result<(), twins_experiment::ExperimentError> {
/// let draft = Draft::new()
///     .with_layer(Layer::from_toml("run.toml", "epochs = 12\nmodel.arch = \"tiny-resnet\"")?)
///     .with_layer(Layer::setting("--lr", "training.learning_rate", 0.1)?);
/// let experiment = draft.resolve()?;
/// assert_eq!(experiment.config().training.learning_rate, 0.1);
/// assert!(experiment.sources().to_string().contains("model.arch (run.toml), epochs (run.toml), learning_rate (--lr)"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    defaults: Defaults,
    layers: Vec<Layer>,
}

impl Draft {
    /// Creates a draft with the default settings only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the default settings from a preset.
    #[must_use]
    pub fn with_preset(mut self, preset: Option<Preset>) -> Self {
        self.defaults = preset.map_or(Defaults::Usual, Defaults::Preset);
        self
    }

    /// Adds a layer of settings, which overrides the previous ones.
    #[must_use]
    pub fn with_layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// The last source that gives a setting or a key below it.
    pub fn source(&self, key: &str) -> Option<&str> {
        self.layers.iter().rev().find(|layer| layer.gives(key)).map(Layer::source)
    }

    /// Whether the experiment uses the built-in data.
    ///
    /// # Errors
    ///
    /// Settings that cannot be combined.
    pub fn is_builtin(&self) -> Result<bool, ExperimentError> {
        self.given().map(|given| is_builtin(&given))
    }

    /// Returns the given settings over the defaults; nothing is derived or checked.
    ///
    /// # Errors
    ///
    /// Settings that cannot be combined.
    pub fn given(&self) -> Result<ExperimentConfig, ExperimentError> {
        self.over(ExperimentConfig::default())
    }

    /// Derives the remaining settings and returns the checked experiment.
    ///
    /// # Errors
    ///
    /// A value out of range, or settings that exclude each other, with the sources of both.
    pub fn resolve(&self) -> Result<Experiment, ExperimentError> {
        let base = self.base(&self.given()?);
        let mut config = self.over(base.clone())?;
        let sources = self.sources(&base, &config);
        derive(&mut config, &base, &sources);
        match contradiction(&config, &sources) {
            Some(contradiction) => Err(contradiction.into()),
            None => Experiment::new(config, sources),
        }
    }

    fn over(&self, base: ExperimentConfig) -> Result<ExperimentConfig, ExperimentError> {
        self.layers.iter().try_fold(base, |config, layer| layer.apply(config))
    }

    fn base(&self, given: &ExperimentConfig) -> ExperimentConfig {
        let usual = TrainConfig::new(Method::TwinsAt)
            .with_augmentation(given.data.usual_augmentation().augmentation());
        let mut base = ExperimentConfig::default();
        match self.defaults {
            Defaults::Preset(preset) => {
                base.training = preset.config();
                base.data.preprocessing = preset.preprocessing();
                base.model.upsample = preset.upsampling();
            }
            Defaults::Usual if is_builtin(given) => {
                base.training = builtin::training(usual);
                builtin::limits(&mut base.data);
                base.evaluation.report_images = builtin::REPORT_IMAGES;
            }
            Defaults::Usual => base.training = usual,
        }
        base
    }

    fn base_name(&self, given: &ExperimentConfig) -> String {
        match self.defaults {
            Defaults::Preset(preset) => format!("preset {preset}"),
            Defaults::Usual if is_builtin(given) => "the settings of the built-in data".to_owned(),
            Defaults::Usual => "the paper's settings".to_owned(),
        }
    }

    fn sources(&self, base: &ExperimentConfig, config: &ExperimentConfig) -> Sources {
        let mut given: Vec<(String, String)> = Vec::new();
        let mut strict: Vec<String> = Vec::new();
        for layer in &self.layers {
            for key in layer.keys() {
                given.retain(|(other, _)| *other != key);
                if layer.is_strict() {
                    strict.push(key.clone());
                }
                given.push((key, layer.source().to_owned()));
            }
        }
        let [base_values, values] = [base, config].map(plain);
        let value = |values: &Value, key: &str| -> Option<Value> {
            key.split('.').try_fold(values, |value, part| value.get(part)).cloned()
        };
        let keys = || given.iter().map(|(key, _)| key.clone());
        let unchanged = keys().filter(|key| value(&base_values, key) == value(&values, key)).collect();
        let shared = keys().filter(|key| !strict.contains(key)).collect();
        Sources { base: self.base_name(config), given, unchanged, shared }
    }
}

fn is_builtin(config: &ExperimentConfig) -> bool {
    matches!(config.data.source, DataSource::Builtin(_))
}
