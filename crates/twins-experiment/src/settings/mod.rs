//! The settings of an experiment as a user writes them, before they are checked.

mod compute;
mod contradictions;
mod data;
mod derive;
mod draft;
mod evaluation;
mod layer;
mod log;
mod model;
#[cfg(test)]
mod reference;
mod sources;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use twins_train::{Settings, TrainConfig, TrainError};

pub use compute::ComputeConfig;
pub(crate) use contradictions::contradiction;
pub use contradictions::{Contradiction, GivenSetting};
pub use data::{AugmentationName, DataConfig};
pub use draft::Draft;
pub use evaluation::{AutoAttackImages, EvaluationConfig, LastCheckpoint, ReportAttack, TestMeasurement};
pub use layer::Layer;
pub(crate) use layer::{in_tables, short};
pub use log::LogConfig;
pub use model::{Head, InitialModel, InputNormalisation};
pub use sources::Sources;

/// All settings of one training and its evaluation, and the devices that it runs on. The values are not checked; [`check`](Self::check)
/// validates them and returns an [`Experiment`](crate::Experiment).
///
/// | table | purpose |
/// |---|---|
/// | `data` | images, their parts and their size ([`DataConfig`]) |
/// | `model` | architecture, initial weights and head ([`InitialModel`]) |
/// | `training` | method, adversary, optimiser, schedule, validation, seed ([`TrainConfig`]) |
/// | `evaluation` | evaluation of the result on the test images ([`EvaluationConfig`]) |
/// | `compute` | devices and threads ([`ComputeConfig`]) |
/// | `log` | files with the values of every step and epoch ([`LogConfig`]) |
///
/// A TOML file has tables of these names, and omits settings that keep their defaults:
///
/// ```
/// use twins_experiment::{Draft, Layer};
/// use twins_train::Method;
///
/// # fn main() -> Result<(), twins_experiment::ExperimentError> {
/// let file = "[data]\nsource = \"folder:images\"\n[model]\nweights = \"resnet20.pth\"\narch = \"resnet20\"\n\
///             [training]\nmethod = \"twins-trades\"\nepochs = 10\n";
/// let experiment = Draft::new().with_layer(Layer::from_toml("images.toml", file)?).resolve()?;
/// assert_eq!(experiment.config().training.method, Method::TwinsTrades);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ExperimentConfig {
    /// Images, their parts and their size.
    pub data: DataConfig,
    /// Architecture, initial weights and head.
    pub model: InitialModel,
    /// The training.
    pub training: TrainConfig,
    /// The evaluation of the result.
    pub evaluation: EvaluationConfig,
    /// Devices and threads.
    pub compute: ComputeConfig,
    /// Files with the values of every step and epoch.
    pub log: LogConfig,
}

impl Settings for ExperimentConfig {
    fn known_keys() -> Value {
        let full = Self {
            data: DataConfig::full(),
            model: InitialModel::full(),
            training: TrainConfig::default(),
            evaluation: EvaluationConfig::default(),
            compute: ComputeConfig::full(),
            log: LogConfig::default(),
        };
        let mut known = plain(&full);
        known["training"] = TrainConfig::known_keys();
        known
    }

    fn alternatives() -> Vec<String> {
        TrainConfig::alternatives().into_iter().map(|path| format!("training.{path}")).collect()
    }

    fn shorthands() -> Vec<(String, String)> {
        TrainConfig::shorthands().into_iter().map(|(path, key)| (format!("training.{path}"), key)).collect()
    }
}

/// Settings, or a part of them, as a JSON value.
pub(crate) fn plain<T: Serialize + ?Sized>(value: &T) -> Value {
    serde_json::to_value(value).expect("settings are plain data")
}

/// Settings of a program or an option as a JSON value, which a path that is not UTF-8 cannot become.
fn value_of<T: Serialize + ?Sized>(source: &str, value: &T) -> Result<Value, TrainError> {
    serde_json::to_value(value).map_err(|error| TrainError::ConfigFile {
        path: source.into(),
        problem: format!("{error}; settings are saved as text"),
    })
}
