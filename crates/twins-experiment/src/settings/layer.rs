use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use twins_files::one_line;
use twins_train::{SettingsFile, TrainConfig, TrainError};

use super::{ExperimentConfig, plain, value_of};
use crate::error::ExperimentError;

/// The tables of [`ExperimentConfig`].
const TABLES: [&str; 6] = ["data", "model", "training", "evaluation", "compute", "log"];

/// Settings from one source: a file, a command-line option, or a program.
///
/// Settings of the training may be written without their table, as in `epochs = 10` or `adversary.steps = 5`. Therefore the `config.json`
/// of a run, which contains only such settings, can be read as a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its name in errors and lists of sources, such as `run.toml` or `--lr`.
    source: String,
    file: SettingsFile<ExperimentConfig>,
    /// Whether a setting that does not apply to the method is an error, as it is unless several methods share the layer.
    strict: bool,
}

impl Layer {
    /// Reads a `.toml` or `.json` file. If it gives every setting of the training, as the `config.json` of a run does, settings that do
    /// not apply to the method are no error: none of them was chosen for it.
    ///
    /// # Errors
    ///
    /// The file and the line of an unknown key (with the nearest known one), of a value of the wrong type, or of a syntax error.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ExperimentError> {
        let path = path.as_ref();
        let layer = Self::of(path.display().to_string(), SettingsFile::read_with(path, in_tables)?);
        Ok(if layer.gives_whole_training() { layer.shared() } else { layer })
    }

    /// Reads settings from text in the format of a `.toml` file.
    ///
    /// # Errors
    ///
    /// The errors of [`read`](Self::read), except those of reading the file.
    pub fn from_toml(source: &str, text: &str) -> Result<Self, ExperimentError> {
        Ok(Self::of(source.to_owned(), SettingsFile::from_toml_with(source, text, in_tables)?))
    }

    /// Creates a layer with one setting, by its dotted key, such as `training.learning_rate` or `data.source`.
    ///
    /// # Errors
    ///
    /// An unknown key, a value of the wrong type, or a path that is not UTF-8.
    pub fn setting(source: &str, key: &str, value: impl Serialize) -> Result<Self, ExperimentError> {
        Self::settings(source, [(key, value_of(source, &value)?)])
    }

    /// Creates a layer with several settings, by their dotted keys, so that a table can have settings that it needs together.
    pub(crate) fn settings<'a>(
        source: &str,
        settings: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> Result<Self, ExperimentError> {
        let bad = |problem| TrainError::ConfigFile { path: source.into(), problem };
        let mut tables = Map::new();
        for (key, value) in settings {
            let nested = key
                .rsplit('.')
                .fold(value, |value, part| Value::Object(Map::from_iter([(part.to_owned(), value)])));
            if let Value::Object(nested) = nested {
                merge(&mut tables, nested)
                    .map_err(|key| bad(format!("{key} is given twice; give it once")))?;
            }
        }
        let file = SettingsFile::from_value(source, in_tables(Value::Object(tables)).map_err(bad)?)?;
        Ok(Self::of(source.to_owned(), file))
    }

    /// Reads a part of the text of a `.toml` file, which `pick` selects from the parsed value. Errors name the file, and lists of sources
    /// name `source`.
    pub(crate) fn part_of_toml(
        source: &str,
        path: &str,
        text: &str,
        pick: impl Fn(&Value) -> Value,
    ) -> Result<Self, ExperimentError> {
        let file = SettingsFile::from_toml_with(path, text, |file| in_tables(pick(&file)))?;
        Ok(Self::of(source.to_owned(), file))
    }

    fn of(source: String, file: SettingsFile<ExperimentConfig>) -> Self {
        Self { source, file, strict: true }
    }

    /// Allows settings that do not apply to the method, for a layer that several experiments share.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.strict = false;
        self
    }

    /// The name of the source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the layer gives a setting, by its dotted key, or a key below it.
    pub fn gives(&self, key: &str) -> bool {
        self.file.gives(key)
    }

    /// The dotted keys of all settings that the layer gives. A table of alternatives, such as a schedule, is one key.
    pub fn keys(&self) -> Vec<String> {
        self.file.keys()
    }

    /// The dotted keys and values of all settings that the layer gives.
    pub(crate) fn values(&self) -> Vec<(String, Value)> {
        let value = |key: &str| {
            // A table that is given as a string, such as validation = "none", has a key but no table.
            let table = || self.file.value(key.rsplit_once('.')?.0);
            self.file.value(key).or_else(table).cloned().unwrap_or_default()
        };
        self.keys().into_iter().map(|key| (key.clone(), value(&key))).collect()
    }

    fn gives_whole_training(&self) -> bool {
        let whole = plain(&TrainConfig::default());
        whole.as_object().is_some_and(|whole| whole.keys().all(|key| self.gives(&format!("training.{key}"))))
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }

    pub(crate) fn apply(&self, base: ExperimentConfig) -> Result<ExperimentConfig, ExperimentError> {
        Ok(self.file.apply(base)?)
    }
}

/// The short form of a key, in which settings of the training have no table.
pub(crate) fn short(key: &str) -> &str {
    key.strip_prefix("training.").unwrap_or(key)
}

/// Moves settings of the training that are written without a table into the table `training`. Returns what is wrong if a setting is given
/// in both places.
pub(crate) fn in_tables(settings: Value) -> Result<Value, String> {
    let Value::Object(mut settings) = settings else { return Ok(settings) };
    // The values that `--show-config` adds are derived again from the settings.
    if let Some(Value::Object(training)) = settings.get_mut("training") {
        training.remove("resolved");
    }
    let (mut tables, others): (Map<_, _>, Map<_, _>) =
        settings.into_iter().partition(|(key, _)| TABLES.contains(&key.as_str()));
    if !others.is_empty() {
        match tables.entry("training").or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(training) => merge(training, others)
                .map_err(|key| format!("both {key} and training.{key} are given; leave one of them out"))?,
            // Not a table; the wrong type is reported later.
            _ => tables.extend(others),
        }
    }
    Ok(Value::Object(tables))
}

/// Adds settings to a table. A table below it may have settings in both, such as `adversary.steps` and `training.adversary.epsilon`. Returns
/// the key of a setting that both have.
fn merge(table: &mut Map<String, Value>, others: Map<String, Value>) -> Result<(), String> {
    for (key, value) in others {
        match (table.get_mut(&key), value) {
            (None, value) => {
                table.insert(key, value);
            }
            (Some(Value::Object(table)), Value::Object(others)) => {
                merge(table, others).map_err(|below| format!("{key}.{below}"))?;
            }
            (Some(_), _) => return Err(one_line(&key).into_owned()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use twins_train::Method;

    use super::*;
    use crate::settings::Draft;

    fn message(text: &str) -> String {
        Layer::from_toml("a.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn settings_of_the_training_need_no_table() {
        let short = Layer::from_toml("a.toml", "epochs = 3\n[adversary]\nsteps = 5\n").unwrap();
        let long = Layer::from_toml("a.toml", "[training]\nepochs = 3\nadversary.steps = 5\n").unwrap();
        let mixed = Layer::from_toml(
            "a.toml",
            "epochs = 3\n[data]\ncache_mib = 7\n[training.adversary]\nsteps = 5\n",
        );
        let divided = "epochs = 3\nadversary.steps = 5\n[training.adversary]\nepsilon = \"2/255\"\n";
        let divided = Layer::from_toml("a.toml", divided).unwrap();
        let epsilon = divided.apply(ExperimentConfig::default()).unwrap().training.adversary.epsilon;
        assert_eq!(epsilon, 2.0 / 255.0);
        for layer in [&short, &long, &mixed.unwrap(), &divided] {
            let config = layer.apply(ExperimentConfig::default()).unwrap();
            assert_eq!((config.training.epochs, config.training.adversary.steps), (3, 5));
            assert!(layer.gives("training.epochs") && !layer.gives("training.lambda"));
        }
        assert_eq!(short.keys(), ["training.adversary.steps", "training.epochs"]);
    }

    #[test]
    fn mistakes_are_reported_with_their_line() {
        for (text, parts) in [
            (
                "epochs = 3\nlerning_rate = 1\n",
                ["line 2: unknown key \"lerning_rate\"", "\"learning_rate\"?"],
            ),
            ("[data]\nsorce = \"builtin\"\n", ["line 2: unknown key \"data.sorce\"", "\"source\"?"]),
            ("[modle]\narch = \"resnet20\"\n", ["line 1: unknown key \"modle\"", "\"model\"?"]),
            ("[data]\nsource = \"mnist\"\n", ["line 2: ", "data source"]),
            ("[model]\narch = \"resnet21\"\n", ["line 2: ", "did you mean"]),
            ("[compute]\ndevices = [\"gpu\"]\n", ["line 2: ", "unknown device `gpu`"]),
            (
                "[tuning]\nkind = \"full\"\nprobe_epochs = 5\n",
                ["line 3: \"tuning.probe_epochs\" is no setting", "kind \"full\""],
            ),
            ("[training]\nepochs = \"many\"\n", ["line 2: ", "invalid type: string \"many\""]),
            ("training = 3\n", ["line 1: ", "invalid type"]),
            ("epochs = 3\n[training]\nepochs = 5\n", ["both epochs and training.epochs are given", "leave"]),
            (
                "adversary.steps = 3\n[training.adversary]\nsteps = 3\n",
                ["both adversary.steps and training.adversary.steps", "leave"],
            ),
        ] {
            let message = message(text);
            for part in parts {
                assert!(message.contains(part), "{text}: {message}");
            }
        }
    }

    #[test]
    fn the_configuration_of_a_run_has_settings_that_its_method_does_not_use() {
        let folder = tempfile::tempdir().unwrap();
        let resolve = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let arch = Layer::from_toml("a.toml", "model.arch = \"tiny-resnet\"").unwrap();
            Draft::new().with_layer(arch).with_layer(Layer::read(path).unwrap()).resolve()
        };
        // As in a run of an arm of a study, whose settings all arms share.
        let config = TrainConfig::new(Method::At).with_lambda(0.5).with_beta(3.0);
        let written = serde_json::to_string(&config.effective().unwrap()).unwrap();
        let read = resolve("config.json", written).unwrap().config().training.clone();
        assert_eq!((read.method, read.lambda, read.beta), (Method::At, 0.5, 3.0));
        let message =
            resolve("run.toml", "method = \"at\"\nlambda = 0.5".to_owned()).unwrap_err().to_string();
        assert!(message.contains("lambda is 0.5") && message.contains("no frozen wing"), "{message}");
    }

    #[test]
    fn a_setting_by_its_key() {
        let layer = Layer::setting("--lr", "training.learning_rate", 0.5).unwrap();
        assert_eq!(layer.apply(ExperimentConfig::default()).unwrap().training.learning_rate, 0.5);
        let message = Layer::setting("--lr", "training.learning_rate", "fast").unwrap_err().to_string();
        assert!(message.contains("--lr") && message.contains("invalid type"), "{message}");
    }
}
