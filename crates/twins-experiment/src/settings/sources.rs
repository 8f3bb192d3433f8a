use std::fmt;

use twins_train::SettingsFile;

use super::layer::short;
use super::{ExperimentConfig, value_of};
use crate::error::ExperimentError;

/// The sources of settings: the base, and the source of each setting that overrides it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    pub(crate) base: String,
    /// Keys and sources, in the order of the layers; a later layer replaces the entry of an earlier one.
    pub(crate) given: Vec<(String, String)>,
    /// The keys of `given` whose value equals that of the base.
    pub(crate) unchanged: Vec<String>,
    /// The keys of `given` that are given only by shared layers.
    pub(crate) shared: Vec<String>,
}

impl Sources {
    /// The sources of settings that a program created: values that differ from the defaults were chosen by the program.
    ///
    /// # Errors
    ///
    /// Settings that cannot be saved: a path that is not UTF-8, and numbers that are not finite.
    pub(crate) fn of_program(config: &ExperimentConfig) -> Result<Self, ExperimentError> {
        let (mut keys, mut unchanged) = (Vec::new(), Vec::new());
        let layer = |config: &ExperimentConfig| -> Result<_, ExperimentError> {
            Ok(SettingsFile::<ExperimentConfig>::from_value("program", value_of("program", config)?)?)
        };
        let (own, usual) = (layer(config)?, layer(&ExperimentConfig::default())?);
        for key in own.keys() {
            if own.value(&key) == usual.value(&key) {
                unchanged.push(key.clone());
            }
            keys.push((key, "set by the program".to_owned()));
        }
        Ok(Self { base: "the defaults".to_owned(), given: keys, unchanged, shared: Vec::new() })
    }

    /// The source that gave a setting (by its dotted key), or a key below it; `None` if the value is from the base or derived from other
    /// settings.
    pub fn of(&self, key: &str) -> Option<&str> {
        self.find(key, |_| true)
    }

    /// The same as [`of`](Self::of), for settings that exclude others: `None` also if the value equals that of the base.
    pub(crate) fn of_change(&self, key: &str) -> Option<&str> {
        self.find(key, |given| !self.unchanged.contains(given))
    }

    /// The same as [`of_change`](Self::of_change), for settings of some methods: `None` also if only shared layers give it.
    pub(crate) fn of_choice(&self, key: &str) -> Option<&str> {
        self.find(key, |given| !self.unchanged.contains(given) && !self.shared.contains(given))
    }

    /// The source of the first setting at or below a key for which the condition holds.
    fn find(&self, key: &str, condition: impl Fn(&String) -> bool) -> Option<&str> {
        let below = |given: &str| {
            given.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut found = self.given.iter().filter(|(given, _)| below(given) && condition(given));
        found.next().map(|(_, source)| source.as_str())
    }

    /// Describes the source of a setting's value.
    pub fn describe(&self, key: &str) -> &str {
        self.of(key).unwrap_or(&self.base)
    }
}

/// Formats the base and the settings that override it on one line.
impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)?;
        let shown = self
            .given
            .iter()
            .filter(|(key, source)| source.starts_with("--") || !self.unchanged.contains(key));
        for (index, (key, source)) in shown.enumerate() {
            let separator = if index == 0 { ", over it " } else { ", " };
            write!(f, "{separator}{} ({source})", short(key))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use twins_data::{DataSource, Task};
    use twins_models::Architecture;
    use twins_train::{Method, TrainConfig, ValidationConfig};

    use super::*;
    use crate::settings::{DataConfig, Draft, InitialModel, Layer};

    fn without_validation() -> ExperimentConfig {
        ExperimentConfig {
            data: DataConfig::new(DataSource::Builtin(Task::Target)),
            model: InitialModel::random(Architecture::TinyResNet),
            training: TrainConfig::new(Method::At).with_validation(ValidationConfig::none()),
            ..ExperimentConfig::default()
        }
    }

    #[test]
    fn a_setting_of_a_table_that_is_the_base_s_was_not_chosen() {
        // The whole protocol is given, and none of it differs from the defaults.
        without_validation().check().unwrap();
        let whole = serde_json::to_value(without_validation()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, whole.to_string()).unwrap();
        Draft::new().with_layer(Layer::read(&path).unwrap()).resolve().unwrap();

        let mut chosen = without_validation();
        chosen.training.validation.protocol.steps = 3;
        let message = chosen.check().unwrap_err().to_string();
        assert!(message.contains("validation.protocol") && message.contains("never used"), "{message}");
    }

    #[test]
    fn settings_of_a_program_that_cannot_be_saved_are_errors() {
        let mut config = without_validation();
        config.training.learning_rate = f64::NAN;
        let message = config.check().unwrap_err().to_string();
        assert!(message.contains("learning_rate is NaN"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_is_an_error() {
        use std::os::unix::ffi::OsStringExt;
        let path = std::path::PathBuf::from(std::ffi::OsString::from_vec(vec![b'a', 0xff]));
        let mut weights = without_validation();
        weights.model.weights = Some(path.clone());
        let mut data = without_validation();
        data.data.source = DataSource::Folder(path.clone());
        let option = Layer::setting("--weights", "model.weights", path).unwrap_err();
        for error in [weights.check().unwrap_err(), data.check().unwrap_err(), option] {
            assert!(error.to_string().contains("UTF-8"), "{error}");
        }
    }
}
