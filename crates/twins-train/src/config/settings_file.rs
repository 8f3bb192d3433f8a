use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use twins_files::one_line;

use crate::config::adversary::AdversaryConfig;
use crate::config::effective::RESOLVED;
use crate::config::known_keys::{line_of_path, unknown_key};
use crate::config::nesting::{DEEPEST, too_deep};
use crate::config::train_config::TrainConfig;
use crate::error::TrainError;

/// Settings of which a file may specify any subset.
pub trait Settings: Serialize + DeserializeOwned {
    /// A value in which every key is present, including optional ones. A table of alternatives contains the keys of all
    /// its alternatives.
    fn known_keys() -> Value;

    /// The dotted paths of tables of alternatives, such as a schedule. Such a table is replaced as a whole.
    fn alternatives() -> Vec<String> {
        Vec::new()
    }

    /// Tables that may be given as a string, each with the key whose value the string is.
    fn shorthands() -> Vec<(String, String)> {
        Vec::new()
    }
}

/// The settings in a `.toml` or `.json` file: some or all settings of `T`.
///
/// ```
/// use twins_train::{ConfigFile, Preset};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("twins-config-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("run.toml");
/// std::fs::write(&path, "learning_rate = 0.01\n[adversary]\nsteps = 5\n")?;
/// let file = ConfigFile::read(&path)?;
/// let config = file.apply(Preset::PaperCaltech.config())?;
/// assert_eq!((config.learning_rate, config.adversary.steps, config.lambda), (0.01, 5, 0.4));
/// assert!(file.gives("adversary.steps") && !file.gives("lambda"));
/// assert_eq!(file.keys(), ["adversary.steps", "learning_rate"]);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SettingsFile<T> {
    path: PathBuf,
    value: Value,
    settings: PhantomData<T>,
}

/// A file with training settings.
pub type ConfigFile = SettingsFile<TrainConfig>;

/// The format of a text.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Toml,
    Json,
}

impl<T: Settings> SettingsFile<T> {
    /// Reads a file and checks its keys and the types of their values.
    ///
    /// # Errors
    ///
    /// [`TrainError::ConfigFile`], with the line if it is known: a file that cannot be read, another extension, a
    /// syntax error, an unknown key (with the most similar known key), a value of the wrong type.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, TrainError> {
        Self::read_with(path, Ok)
    }

    /// Like [`read`](Self::read), for files with another structure. `arrange` converts the content of the file to the
    /// structure of `T`, or says what is wrong with it.
    ///
    /// # Errors
    ///
    /// The errors of [`read`](Self::read) and of `arrange`.
    pub fn read_with(
        path: impl AsRef<Path>,
        arrange: impl Fn(Value) -> Result<Value, String>,
    ) -> Result<Self, TrainError> {
        let path = path.as_ref();
        let bad = |problem: String| TrainError::ConfigFile { path: path.to_owned(), problem };
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Format::Toml,
            Some("json") => Format::Json,
            _ => return Err(bad("its name must end in .toml or .json".to_owned())),
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| bad(format!("{error}; give the path of a readable text file")))?;
        Self::parse(path, format, &text, arrange)
    }

    /// Reads settings from TOML text that does not come from a file. `name` takes the place of the file in errors and
    /// in [`path`](Self::path).
    ///
    /// ```
    /// use twins_train::{ConfigFile, Preset, Schedule};
    ///
    /// # fn main() -> Result<(), twins_train::TrainError> {
    /// let given = ConfigFile::from_toml("--set", "ema_decay = 0.999\nschedule.kind = \"constant\"")?;
    /// let config = given.apply(Preset::PaperCifar.config())?;
    /// assert_eq!((config.ema_decay, config.schedule), (Some(0.999), Schedule::Constant));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`read`](Self::read), except those of reading the file.
    pub fn from_toml(name: impl AsRef<Path>, text: &str) -> Result<Self, TrainError> {
        Self::from_toml_with(name, text, Ok)
    }

    /// Like [`from_toml`](Self::from_toml), for text with another structure. `arrange` converts its content to the structure
    /// of `T`, or says what is wrong with it.
    ///
    /// # Errors
    ///
    /// The errors of [`from_toml`](Self::from_toml) and of `arrange`.
    pub fn from_toml_with(
        name: impl AsRef<Path>,
        text: &str,
        arrange: impl Fn(Value) -> Result<Value, String>,
    ) -> Result<Self, TrainError> {
        Self::parse(name.as_ref(), Format::Toml, text, arrange)
    }

    /// Reads settings from a value. `name` takes the place of the file in errors and in [`path`](Self::path).
    ///
    /// # Errors
    ///
    /// The errors of [`read`](Self::read), except those of reading the file and without lines.
    pub fn from_value(name: impl AsRef<Path>, value: Value) -> Result<Self, TrainError> {
        let (path, written) = (name.as_ref(), value.clone());
        Self::checked(path, "", &written, value)
    }

    fn parse(
        path: &Path,
        format: Format,
        text: &str,
        arrange: impl Fn(Value) -> Result<Value, String>,
    ) -> Result<Self, TrainError> {
        let bad = |problem: String| TrainError::ConfigFile { path: path.to_owned(), problem };
        if let (Format::Toml, Some(line)) = (format, too_deep(text)) {
            return Err(bad(format!(
                "line {line}: tables are nested more than {DEEPEST} deep; no setting is"
            )));
        }
        let mut written: Value = match format {
            Format::Toml => toml::from_str(text).map_err(|error| bad(toml_problem(text, &error)))?,
            Format::Json => serde_json::from_str(text).map_err(|error| bad(json_problem(&error)))?,
        };
        let mut place = Vec::new();
        if format == Format::Toml && has_null(&written, &mut place) {
            let line = line_of_path(text, &place).map(|line| format!("line {line}: ")).unwrap_or_default();
            let key = one_line(&place.join(".")).into_owned();
            return Err(bad(format!(
                "{line}{key} is nan or inf; give a finite number, or leave the setting out"
            )));
        }
        // The values that a run's `config.json` has besides its settings are derived again from the settings.
        if let (Format::Json, Some(settings)) = (format, written.as_object_mut()) {
            settings.remove(RESOLVED);
        }
        let value = arrange(written.clone()).map_err(bad)?;
        Self::checked(path, text, &written, value)
    }

    /// Checks keys and types. `written` has the structure of the text, `value` that of `T`.
    fn checked(path: &Path, text: &str, written: &Value, value: Value) -> Result<Self, TrainError> {
        let bad = |problem: String| TrainError::ConfigFile { path: path.to_owned(), problem };
        let Value::Object(top) = written else {
            return Err(bad(format!("it holds {written}; it must hold a table of settings")));
        };
        let at_top = |key: &str| top.contains_key(key);
        if let Some(problem) = unknown_key(&value, &T::known_keys(), at_top, text) {
            return Err(bad(problem));
        }
        if let Some((place, problem)) = wrong_type::<T>(&value) {
            let line = line_of_path(text, &place).map(|line| format!("line {line}: ")).unwrap_or_default();
            return Err(bad(format!("{line}{problem}; correct it, or leave the setting out")));
        }
        if let Some((mut place, kind)) = foreign_key::<T>(&value) {
            if !at_top(&place[0]) {
                place.remove(0);
            }
            let line = line_of_path(text, &place).map(|line| format!("line {line}: ")).unwrap_or_default();
            return Err(bad(format!(
                "{line}\"{}\" is no setting of kind {kind}; leave it out, or choose another kind",
                place.join(".")
            )));
        }
        Ok(Self { path: path.to_owned(), value, settings: PhantomData })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file specifies a setting, or any setting below it. `setting` is a dotted path such as
    /// `adversary.steps`.
    pub fn gives(&self, setting: &str) -> bool {
        let short = T::shorthands().into_iter().any(|(table, key)| {
            setting == format!("{table}.{key}") && self.value(&table).is_some_and(Value::is_string)
        });
        short || self.value(setting).is_some()
    }

    /// The value that the file specifies for a setting, which is given by its dotted path.
    pub fn value(&self, setting: &str) -> Option<&Value> {
        setting.split('.').try_fold(&self.value, |value, key| value.get(key))
    }

    /// The dotted paths of all settings that the file specifies. A table of alternatives, such as a schedule, is one
    /// setting.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        collect_keys(&self.value, String::new(), &T::alternatives(), &mut keys);
        for (table, key) in T::shorthands() {
            if let Some(short) = keys.iter_mut().find(|found| **found == table) {
                *short = format!("{table}.{key}");
            }
        }
        keys
    }

    /// Overrides the settings of `base` by those of the file. Tables are merged key by key, except tables of
    /// alternatives (such as `schedule` and `tuning`), which are replaced as a whole.
    ///
    /// # Errors
    ///
    /// [`TrainError::ConfigFile`] if the result cannot be read back. Whether the values are in range is not checked
    /// here, but after every source has been applied.
    pub fn apply(&self, base: T) -> Result<T, TrainError> {
        let mut value = serde_json::to_value(base).expect("settings are plain data");
        let merge = Merge { alternatives: T::alternatives(), shorthands: T::shorthands() };
        merge.over(&mut value, &self.value, "");
        serde_json::from_value(value)
            .map_err(|error| TrainError::ConfigFile { path: self.path.clone(), problem: error.to_string() })
    }
}

impl TrainConfig {
    /// Reads a configuration from a `.toml` or `.json` file. Settings that the file omits keep their defaults (those of
    /// the paper), except that the schedule is the [usual one](TrainConfig::usual_schedule) of the method and the epochs, and that
    /// the step size of the adversary keeps its ratio to epsilon. To override another base, use [`ConfigFile`], which derives
    /// nothing.
    ///
    /// # Errors
    ///
    /// The errors of [`SettingsFile::read`], and a value out of range.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TrainError> {
        let file = ConfigFile::read(path)?;
        let mut config = file.apply(Self::default())?;
        if !file.gives("schedule") {
            config.schedule = config.usual_schedule();
        }
        if file.gives("adversary.epsilon") && !file.gives("adversary.step_size") {
            config.adversary = config.adversary.with_step_size_in_proportion_to(&AdversaryConfig::default());
        }
        config.validate()?;
        Ok(config)
    }
}

/// Merges given values into a base.
struct Merge {
    alternatives: Vec<String>,
    shorthands: Vec<(String, String)>,
}

impl Merge {
    /// Overrides the values of `base` by those of `given`, table by table.
    fn over(&self, base: &mut Value, given: &Value, path: &str) {
        match (base, given) {
            (Value::Object(base), Value::Object(given))
                if !self.alternatives.iter().any(|other| other == path) =>
            {
                for (key, value) in given {
                    self.over(base.entry(key.clone()).or_insert(Value::Null), value, &below(path, key));
                }
            }
            // For instance `validation = "none"`, which keeps the rest of the table.
            (Value::Object(base), Value::String(_)) if self.short_for(path).is_some() => {
                let key = self.short_for(path).expect("it was found");
                base.insert(key.to_owned(), given.clone());
            }
            (base, given) => *base = given.clone(),
        }
    }

    fn short_for(&self, path: &str) -> Option<&str> {
        self.shorthands.iter().find(|(table, _)| table == path).map(|(_, key)| key.as_str())
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn collect_keys(value: &Value, path: String, alternatives: &[String], keys: &mut Vec<String>) {
    match value {
        Value::Object(table) if !alternatives.contains(&path) => {
            for (key, value) in table {
                collect_keys(value, below(&path, key), alternatives, keys);
            }
        }
        _ => keys.push(path),
    }
}

/// Whether a value has a null in it; `place` becomes its path, without indices of arrays. TOML has no null, so it stands for
/// a number that is not finite.
fn has_null(value: &Value, place: &mut Vec<String>) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(|item| has_null(item, place)),
        Value::Object(table) => table.iter().any(|(key, value)| {
            place.push(key.clone());
            let found = has_null(value, place);
            if !found {
                place.pop();
            }
            found
        }),
        _ => false,
    }
}

/// Finds the path of a value from which `T` cannot be read, and what is wrong with it.
///
/// The search narrows the value down as long as reading it fails with the same error.
fn wrong_type<T: DeserializeOwned>(value: &Value) -> Option<(Vec<String>, String)> {
    let problem_of = |value: Value| serde_json::from_value::<T>(value).err().map(|error| error.to_string());
    let problem = problem_of(value.clone())?;
    let (mut place, mut part) = (Vec::new(), value);
    while let Value::Object(table) = part {
        let same = table.iter().find(|(key, value)| {
            let path = place.iter().chain([*key]);
            let nested = path.rev().fold((*value).clone(), |value, key: &String| {
                Value::Object(Map::from_iter([(key.clone(), value)]))
            });
            problem_of(nested).as_ref() == Some(&problem)
        });
        let Some((key, value)) = same else { break };
        place.push(key.clone());
        part = value;
    }
    Some((place, problem))
}

/// Finds a setting in a table of alternatives that the chosen alternative does not have, and the kind of that alternative.
/// Serde ignores such a setting if the alternative has no settings at all.
fn foreign_key<T: Settings>(given: &Value) -> Option<(Vec<String>, String)> {
    let read: T = serde_json::from_value(given.clone()).ok()?;
    let read = serde_json::to_value(read).expect("settings are plain data");
    T::alternatives().into_iter().find_map(|table| {
        let pointer = format!("/{}", table.replace('.', "/"));
        let (rest, kind) = ignored_key(given.pointer(&pointer)?, read.pointer(&pointer)?)?;
        Some((table.split('.').map(str::to_owned).chain(rest).collect(), kind))
    })
}

/// Finds the path of a key that was given and not read, and the kind of the table that it is in.
fn ignored_key(given: &Value, read: &Value) -> Option<(Vec<String>, String)> {
    let (Value::Object(given), Value::Object(read)) = (given, read) else { return None };
    given.iter().filter(|(_, value)| !value.is_null()).find_map(|(key, value)| match read.get(key) {
        Some(below) => {
            let (rest, kind) = ignored_key(value, below)?;
            Some(([vec![key.clone()], rest].concat(), kind))
        }
        None => Some((vec![key.clone()], read.get("kind").map(Value::to_string).unwrap_or_default())),
    })
}

/// Formats a TOML error as one line of text, with the number of its line in the file.
fn toml_problem(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().lines().collect::<Vec<_>>().join(" ");
    match error.span() {
        Some(span) => {
            // In bytes: an error may be in the middle of a character.
            let before = &text.as_bytes()[..span.start.min(text.len())];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            format!("line {line}: {message}; correct it, or leave the setting out")
        }
        None => format!("{message}; correct it, or leave the setting out"),
    }
}

fn json_problem(error: &serde_json::Error) -> String {
    // serde_json ends its messages with the position.
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    format!("line {}: {message}; correct it, or leave the setting out", error.line())
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EpsilonSchedule, Method, ProbeConfig, Tuning};
    use crate::optimisers::{AwpConfig, OptimiserConfig, Schedule};

    fn read(name: &str, text: &str) -> Result<TrainConfig, TrainError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        TrainConfig::from_file(path)
    }

    #[test]
    fn toml_overrides_the_defaults() {
        let text = "method = \"trades\"\nepochs = 5\nema_decay = 0.99\nfreeze = [\"conv1\"]\n\
                    [schedule]\nkind = \"cosine\"\nfinal_fraction = 0.1\n\
                    [adversary]\nsteps = 7\n\
                    [awp]\nwarmup_epochs = 10\n[auto_lora]\nrank = 4\n\
                    [tuning]\nkind = \"probe-then-full\"\nprobe_epochs = 2\n";
        let config = read("run.toml", text).unwrap();
        assert_eq!((config.method, config.epochs, config.adversary.steps), (Method::Trades, 5, 7));
        assert_eq!(config.schedule, Schedule::Cosine { final_fraction: 0.1 });
        assert_eq!(config.tuning, Tuning::ProbeThenFull(ProbeConfig::new(2)));
        assert_eq!(config.freeze, ["conv1"]);
        assert_eq!(config.awp, Some(AwpConfig::new(0.01).with_warmup_epochs(10)));
        assert_eq!((config.auto_lora.rank, config.auto_lora.divergence), (4, 6.0));
        assert_eq!(config.batch_size, 128);
    }

    #[test]
    fn settings_that_are_absent_by_default_can_be_given() {
        let text = "mixup = 0.5\nearly_stopping = 3\ncheckpoint_steps = 7\n\
                    [epsilon_schedule]\nclean_epochs = 1\nrise_epochs = 2.5\n\
                    [optimiser]\nkind = \"adamw\"\nbetas = [0.8, 0.9]\n\
                    [tuning]\nkind = \"probe-then-full\"\nprobe_epochs = 2\nprobe_learning_rate = 0.1\n\
                    probe_schedule = { kind = \"multi-step\", milestones = [1], gamma = 0.5 }\n";
        let config = read("run.toml", text).unwrap();
        let expected = TrainConfig::default()
            .with_mixup(0.5)
            .with_early_stopping(3)
            .with_checkpoint_steps(7)
            .with_epsilon_schedule(EpsilonSchedule::new(2.5).with_clean_epochs(1.0))
            .with_optimiser(OptimiserConfig::AdamW { betas: [0.8, 0.9], epsilon: 1e-8 })
            .with_tuning(Tuning::ProbeThenFull(
                ProbeConfig::new(2)
                    .with_learning_rate(0.1)
                    .with_schedule(Schedule::MultiStep { milestones: vec![1], gamma: 0.5 }),
            ));
        assert_eq!(config, expected);
        // A setting that is null is left out.
        let text = "{\"tuning\": {\"kind\": \"probe-then-full\", \"probe_epochs\": 2, \
                    \"probe_learning_rate\": null}}";
        assert_eq!(read("run.json", text).unwrap().tuning, Tuning::ProbeThenFull(ProbeConfig::new(2)));
    }

    #[test]
    fn the_default_schedule_follows_the_epochs_of_a_file() {
        assert_eq!(read("run.toml", "epochs = 12\n").unwrap().schedule, Schedule::paper(12));
        assert_eq!(read("run.toml", "beta = 5.0\n").unwrap().schedule, Schedule::paper(60));
        let given = "epochs = 12\n[schedule]\nkind = \"constant\"\n";
        assert_eq!(read("run.toml", given).unwrap().schedule, Schedule::Constant);
        let probe = "epochs = 18\n[tuning]\nkind = \"probe-then-full\"\nprobe_epochs = 6\n";
        assert_eq!(read("run.toml", probe).unwrap().schedule, Schedule::paper(12));
        let auto_lora = read("run.toml", "method = \"auto-lora\"\n").unwrap();
        assert_eq!(auto_lora.schedule, Schedule::auto_lora());
        let cosine = read("run.toml", "schedule.kind = \"cosine\"\n").unwrap();
        assert_eq!(cosine.schedule, Schedule::Cosine { final_fraction: 0.0 });
    }

    #[test]
    fn the_step_size_follows_the_epsilon_of_a_file() {
        let steps = |text: &str| read("run.toml", text).unwrap().adversary.step_size;
        let usual = TrainConfig::default().adversary;
        assert_eq!(steps("epochs = 12\n"), usual.step_size);
        let halved = format!("adversary.epsilon = {}\n", usual.epsilon / 2.0);
        assert!((steps(&halved) / usual.step_size - 0.5).abs() < 1e-12);
        assert_eq!(steps("adversary = { epsilon = 0.5, step_size = 0.25 }\n"), 0.25);
    }

    #[test]
    fn a_file_goes_over_any_base() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, "[validation.protocol]\nsteps = 3\n[schedule]\nkind = \"constant\"\n").unwrap();
        let file = ConfigFile::read(&path).unwrap();
        let base = TrainConfig::new(Method::At).with_lambda(0.4).with_gradient_clip(2.0);
        let config = file.apply(base.clone()).unwrap();
        let mut expected = base.with_schedule(Schedule::Constant);
        expected.validation.protocol.steps = 3;
        assert_eq!(config, expected);
        for (setting, given) in [
            ("schedule", true),
            ("validation.protocol", true),
            ("validation.fraction", false),
            ("epochs", false),
        ] {
            assert_eq!(file.gives(setting), given, "{setting}");
        }
        let none = ConfigFile::from_toml("run.toml", "validation = \"none\"").unwrap();
        assert!(none.gives("validation.fraction") && !none.gives("validation.seed"));
    }

    #[test]
    fn sizes_are_fractions_or_numbers() {
        for (name, text) in [
            ("run.toml", "[adversary]\nepsilon = \"4/255\"\nstep_size = \"1/255\"\n"),
            ("run.json", "{\"adversary\": {\"epsilon\": \"4/255\", \"step_size\": \"1/255\"}}"),
        ] {
            let adversary = read(name, text).unwrap().adversary;
            assert_eq!((adversary.epsilon, adversary.step_size), (4.0 / 255.0, 1.0 / 255.0), "{name}");
        }
        let adversary = read("run.toml", "[adversary]\nepsilon = 0.25\nstep_size = 1\n").unwrap().adversary;
        assert_eq!((adversary.epsilon, adversary.step_size), (0.25, 1.0));
        for (epsilon, part) in [
            ("\"8:255\"", "line 2: `8:255` is no length"),
            (
                "true",
                "line 2: invalid type: boolean `true`, expected a number on the [0, 1] scale, or a fraction such as \"8/255\"",
            ),
            ("8", "did you mean 8/255?"),
            ("\"16/1\"", "did you mean 16/255?"),
        ] {
            let message =
                read("a.toml", &format!("[adversary]\nepsilon = {epsilon}\n")).unwrap_err().to_string();
            assert!(message.contains(part), "{epsilon}: {message}");
        }
    }

    #[test]
    fn an_augmentation_need_not_be_complete() {
        let config = read("run.toml", "[augmentation]\ncrop_padding = 3\n").unwrap();
        assert_eq!(config.augmentation, twins_data::Augmentation::new().with_crop_padding(3));
    }

    #[test]
    fn the_line_is_told() {
        for (name, text, part) in [
            ("a.toml", "epochs = 3\n\nlearning_rat = 1\n", "line 3: unknown key"),
            ("a.toml", "# learning_rat\nlearning_rat = 1\n", "line 2: unknown key"),
            ("a.toml", "epochs = 3\nbeta = \"much\"\n", "line 2: invalid type: string \"much\""),
            ("a.toml", "epochs = 3\n\n[adversary\n", "line 3: "),
            ("a.toml", "epochs = 3\nmethod = \"twin\"\n", "line 2: unknown variant `twin`"),
            ("a.json", "{\n\"epochs\": 3,\n\"beta\": true\n}", "line 3: invalid type: boolean"),
            ("a.json", "{\n\"epochs\": 3,\n", "line 3: EOF"),
            ("a.toml", "[augmentation]\nflip = true\n", "line 2: unknown key \"augmentation.flip\""),
            ("a.json", "[3]", "must hold a table"),
        ] {
            let message = read(name, text).unwrap_err().to_string();
            assert!(message.contains(part) && message.lines().count() == 1, "{text}: {message}");
        }
        let missing = TrainConfig::from_file("/nowhere/run.toml").unwrap_err().to_string();
        assert!(missing.contains("/nowhere/run.toml") && missing.contains("give the path"), "{missing}");
    }

    #[test]
    fn the_written_configuration_reads_back() {
        let config = TrainConfig::new(Method::At).with_gradient_clip(2.0);
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(read("config.json", &text).unwrap(), config);
    }

    #[test]
    fn the_effective_configuration_reads_back_and_follows_anew() {
        let base = TrainConfig::new(Method::At);
        let text = serde_json::to_string(&base.effective().unwrap()).unwrap();
        assert_eq!(read("config.json", &text).unwrap(), base);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        let epsilon = ConfigFile::from_toml("--set", "adversary.epsilon = 0.1").unwrap();
        let config = epsilon.apply(ConfigFile::read(&path).unwrap().apply(base).unwrap()).unwrap();
        assert_eq!(config.validation_protocol().unwrap().threat.epsilon(), 0.1);
    }

    #[test]
    fn a_protocol_is_given_in_part() {
        let text = "[validation.protocol]\nsteps = 3\nstep_size = \"16/255\"\nthreat = { norm = \"l2\", epsilon = \"128/255\" }\n";
        let config = read("run.toml", text).unwrap();
        assert_eq!(config.validation_protocol().unwrap().to_string(), "PGD-3 L2 128/255, step size 16/255");
        let message =
            read("run.toml", "[validation.protocol.threat]\nnorm = \"l2\"\n").unwrap_err().to_string();
        assert!(message.contains("epsilon"), "{message}");
    }

    #[test]
    fn bad_files_are_explained() {
        let deep_toml = format!("epochs = 1\nx = {}", "{a.a.a = ".repeat(5000));
        let deep_json = "{\"a\": ".repeat(5000);
        for (name, text, part) in [
            ("a.toml", "learning_rat = 0.1", "unknown key \"learning_rat\"; did you mean \"learning_rate\"?"),
            ("a.toml", "[awp]\ngama = 0.1", "\"awp.gama\"; did you mean \"gamma\"?"),
            ("a.toml", "[auto_lora]\nrang = 4", "\"auto_lora.rang\"; did you mean \"rank\"?"),
            ("a.toml", "[adversary]\nepsilom = 0.1", "\"adversary.epsilom\"; did you mean \"epsilon\"?"),
            ("a.json", "{\"schedule\": {\"kind\": \"cosine\", \"gamm\": 1}}", "did you mean \"gamma\"?"),
            (
                "a.json",
                "{\"schedule\": {\"kind\": \"cosine\", \"final_fraction\": 0, \"gamma\": 1}}",
                "gamma",
            ),
            (
                "a.toml",
                "[schedule]\nkind = \"constant\"\ngamma = 0.1",
                "line 3: \"schedule.gamma\" is no setting of kind \"constant\"",
            ),
            (
                "a.toml",
                "tuning.kind = \"full\"\ntuning.probe_epochs = 5",
                "line 2: \"tuning.probe_epochs\" is no setting of kind \"full\"",
            ),
            (
                "a.json",
                "{\"optimiser\": {\"kind\": \"sgd\", \"betas\": [0.9, 0.9]}}",
                "line 1: \"optimiser.betas\" is no setting of kind \"sgd\"",
            ),
            (
                "a.toml",
                "[tuning]\nkind = \"probe-then-full\"\nprobe_epochs = 5\n\
                 probe_schedule = { kind = \"constant\", gamma = 0.1 }",
                "line 4: \"tuning.probe_schedule.gamma\" is no setting of kind \"constant\"",
            ),
            ("a.json", "{\"epochs\": \"many\"}", "many"),
            ("a.json", "{\"epochs\": 3", "EOF"),
            ("a.toml", "batch_size = 1", "batch size is 1"),
            (
                "a.toml",
                "epochs = 3\ngradient_clip = nan",
                "line 2: gradient_clip is nan or inf; give a finite",
            ),
            (
                "a.toml",
                "[optimiser]\nkind = \"adamw\"\nbetas = [0.9, -inf]",
                "line 3: optimiser.betas is nan or inf",
            ),
            ("a.yaml", "epochs: 1", ".toml or .json"),
            ("a.toml", deep_toml.as_str(), "line 2: tables are nested"),
            ("a.json", deep_json.as_str(), "recursion limit"),
        ] {
            let message = read(name, text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
