use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use twins_train::{Settings, SettingsFile, TrainConfig};

use super::check::MOST_ARMS;
use super::sections::{self, Candidates, Owner};
use super::{ArmConfig, Candidate, SettingsOf, StudyConfig, StudyError, TrialsConfig};
use crate::error::ExperimentError;
use crate::settings::{
    ComputeConfig, DataConfig, EvaluationConfig, ExperimentConfig, InitialModel, Layer, LogConfig, in_tables,
};

/// The keys of an arm that are not settings of its experiment.
const ARM_KEYS: [&str; 4] = ["name", "learning_rates", "candidates", "settings_of"];

/// A study file; the settings of experiments are read separately from their tables.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StudySettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    seeds: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<String>,
    experiment: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    trials: Option<TrialsSettings>,
    arms: Vec<Value>,
}

/// The settings of trials; the settings of each candidate are read separately.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrialsSettings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    learning_rates: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    candidates: Option<Vec<Map<String, Value>>>,
    seed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epochs: Option<usize>,
}

impl Settings for StudySettings {
    fn known_keys() -> Value {
        json!({
            "name": "", "seeds": [], "baseline": "", "experiment": null, "arms": [],
            "trials": { "learning_rates": [], "candidates": [], "seed": 0, "epochs": 0 },
        })
    }
}

/// An arm: its own settings, and those of its experiment.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ArmSettings {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    learning_rates: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<Vec<Map<String, Value>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings_of: Option<SettingsOf>,
    data: DataConfig,
    model: InitialModel,
    training: TrainConfig,
    evaluation: EvaluationConfig,
    compute: ComputeConfig,
    log: LogConfig,
}

impl Settings for ArmSettings {
    fn known_keys() -> Value {
        let mut known = ExperimentConfig::known_keys();
        known["name"] = json!("");
        known["learning_rates"] = json!([]);
        known["candidates"] = json!([]);
        known["settings_of"] = json!({ "arm": "", "learning_rate_factor": 1.0 });
        known
    }

    fn alternatives() -> Vec<String> {
        ExperimentConfig::alternatives()
    }

    fn shorthands() -> Vec<(String, String)> {
        ExperimentConfig::shorthands()
    }
}

impl StudyConfig {
    /// Reads a TOML file:
    ///
    /// ```toml
    /// name = "What TWINS changes"
    /// seeds = [0, 1, 2]
    /// baseline = "at"
    ///
    /// [experiment]
    /// data.source = "cifar10:data"
    /// model.weights = "resnet20.pth"
    /// model.arch = "resnet20"
    /// epochs = 10
    ///
    /// [trials]
    /// learning_rates = [0.001, 0.003, 0.01]
    /// seed = 100
    ///
    /// [[arms]]
    /// name = "at"
    /// method = "at"
    ///
    /// [[arms]]
    /// name = "twins-at"
    /// method = "twins-at"
    /// ```
    ///
    /// # Errors
    ///
    /// The file and the line of an unknown key (with the nearest known one), of a value of the wrong type, or of a syntax error.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ExperimentError> {
        let path = path.as_ref();
        if path.extension().is_none_or(|extension| extension != "toml") {
            return Err(StudyError::NoTomlFile { path: path.to_owned() }.into());
        }
        let text = std::fs::read_to_string(path).map_err(|source| ExperimentError::File {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        Self::from_toml(&path.display().to_string(), &text)
    }

    /// Reads the text of a study file; errors name `source` as the file.
    ///
    /// # Errors
    ///
    /// The errors of [`read`](Self::read), except those of reading the file.
    pub fn from_toml(source: &str, text: &str) -> Result<Self, ExperimentError> {
        let file = SettingsFile::<StudySettings>::from_toml(source, text)?;
        let settings = file.apply(StudySettings::default())?;
        // Each arm is read with the text of the whole file.
        let count = settings.arms.len();
        if count > MOST_ARMS {
            return Err(StudyError::TooManyArms { count, most: MOST_ARMS }.into());
        }
        let mut study =
            Self::new(settings.name.unwrap_or_else(|| Self::DEFAULT_NAME.to_owned()), settings.seeds);
        study.baseline = settings.baseline;
        if let Some(TrialsSettings { learning_rates, candidates, seed, epochs }) = settings.trials {
            let number = candidates.map(|candidates| candidates.len());
            let candidates = self::candidates(source, text, Owner::Trials, learning_rates, number)?;
            study.trials = Some(TrialsConfig { candidates: candidates.unwrap_or_default(), seed, epochs });
        }
        if !settings.experiment.is_null() {
            let text = sections::of_experiment(text);
            let layer = Layer::part_of_toml(source, source, &text, |file| file["experiment"].clone())?;
            study.experiment.push(layer);
        }
        for index in 0..count {
            study.arms.push(arm(source, text, index)?);
        }
        Ok(study)
    }
}

/// Reads the arm at a position in the list.
fn arm(source: &str, whole: &str, place: usize) -> Result<ArmConfig, ExperimentError> {
    let (text, index) = sections::of_arm(whole, place);
    let table = |file: &Value| file["arms"][index].clone();
    let file = SettingsFile::<ArmSettings>::from_toml_with(source, &text, |file| arranged(table(&file)))?;
    let settings = file.apply(ArmSettings::default())?;
    if settings.name.is_empty() {
        return Err(StudyError::NoArmName { number: place + 1 }.into());
    }
    let layer =
        Layer::part_of_toml(&format!("arm {}", settings.name), source, &text, |file| split(table(file)).1)?;
    let number = settings.candidates.map(|candidates| candidates.len());
    Ok(ArmConfig {
        candidates: candidates(source, whole, Owner::Arm(place), settings.learning_rates, number)?,
        name: settings.name,
        settings: vec![layer],
        settings_of: settings.settings_of,
    })
}

/// Reads candidates in either of their two forms: learning rates or tables.
fn candidates(
    source: &str,
    text: &str,
    owner: Owner,
    learning_rates: Option<Vec<f64>>,
    number: Option<usize>,
) -> Result<Option<Vec<Candidate>>, ExperimentError> {
    match (learning_rates, number) {
        (Some(_), Some(_)) => Err(StudyError::TwoFormsOfCandidates { place: owner.describe(source) }.into()),
        (Some(rates), None) => Ok(Some(rates.into_iter().map(Candidate::of_learning_rate).collect())),
        (None, Some(number)) => {
            let candidates = Candidates::new(text, owner);
            let candidate = |index| {
                let part = candidates.get(index);
                let layer = Layer::part_of_toml("a candidate", source, part.text(), |file| part.pick(file))?;
                Ok(Candidate::from(&layer))
            };
            (0..number).map(candidate).collect::<Result<_, ExperimentError>>().map(Some)
        }
        (None, None) => Ok(None),
    }
}

/// Moves the settings of an arm's training into their table.
fn arranged(arm: Value) -> Result<Value, String> {
    let (own, experiment) = split(arm);
    Ok(match (own, in_tables(experiment)?) {
        (Value::Object(own), Value::Object(mut tables)) => {
            tables.extend(own);
            Value::Object(tables)
        }
        (_, other) => other,
    })
}

/// Separates an arm's own settings from those of its experiment.
fn split(arm: Value) -> (Value, Value) {
    let Value::Object(arm) = arm else { return (Value::Null, arm) };
    let (own, experiment) = arm.into_iter().partition(|(key, _)| ARM_KEYS.contains(&key.as_str()));
    (Value::Object(own), Value::Object(experiment))
}

#[cfg(test)]
mod tests {
    use twins_train::Method;

    use super::*;
    use crate::settings::Draft;

    const STUDY: &str = r#"name = "Controls"
seeds = [3, 1]
baseline = "twins-at"

[experiment]
data.source = "builtin"
epochs = 3

[experiment.adversary]
steps = 2

[trials]
learning_rates = [0.01, 0.1]
seed = 100

[[arms]]
name = "at"
method = "at"
learning_rates = [0.02, 0.2]

[[arms]]  # a comment
name = "twins-at"
method = "twins-at"
[arms.model]
affine = "shared"

[[arms]]
name = "scaled"
method = "at"
settings_of = { arm = "at", learning_rate_factor = 2.0 }
"#;

    fn message(from: &str, to: &str) -> String {
        assert!(STUDY.contains(from), "{from}");
        StudyConfig::from_toml("study.toml", &STUDY.replace(from, to)).unwrap_err().to_string()
    }

    #[test]
    fn a_file_has_shared_settings_and_arms_in_order() {
        let study = StudyConfig::from_toml("study.toml", STUDY).unwrap();
        assert_eq!((study.name.as_str(), study.baseline.as_deref()), ("Controls", Some("twins-at")));
        assert_eq!(study.seeds, [3, 1]);
        assert_eq!(study.trials, Some(TrialsConfig::new([0.01, 0.1], 100)));
        assert_eq!(study.arm_names(), ["at", "twins-at", "scaled"]);
        assert_eq!(study.arms[0].candidates, Some([0.02, 0.2].map(Candidate::of_learning_rate).to_vec()));
        assert_eq!(
            study.arms[2].settings_of,
            Some(SettingsOf { arm: "at".to_owned(), learning_rate_factor: 2.0 })
        );
        let layers = study.experiment.iter().chain(&study.arms[1].settings).cloned();
        let given = layers.fold(Draft::new(), Draft::with_layer).given().unwrap();
        assert_eq!(given.training.method, Method::TwinsAt);
        assert_eq!((given.training.epochs, given.training.adversary.steps), (3, 2));
        assert_eq!(given.model.affine, Some(twins_nn::Affine::Shared));
    }

    #[test]
    fn candidates_are_any_settings() {
        let text = STUDY
            .replace("learning_rates = [0.01, 0.1]", "candidates = [{ learning_rate = 0.01 }, { beta = 3 }]")
            .replace(
                "learning_rates = [0.02, 0.2]",
                "candidates = [\n  { learning_rate = 0.02, adversary.steps = 3 },\n  { model = { affine = \"shared\" } },\n]",
            );
        let study = StudyConfig::from_toml("study.toml", &text).unwrap();
        let shared = [Candidate::of_learning_rate(0.01), Candidate::new().with_setting("beta", 3)];
        assert_eq!(study.trials, Some(TrialsConfig::of_candidates(shared, 100)));
        let own = [
            Candidate::of_learning_rate(0.02).with_setting("adversary.steps", 3),
            Candidate::new().with_setting("model.affine", "shared"),
        ];
        assert_eq!(study.arms[0].candidates, Some(own.to_vec()));
        assert_eq!(study.arms[1].candidates, None);
    }

    #[test]
    fn mistakes_in_candidates_are_reported_with_their_line() {
        let trials = "learning_rates = [0.01, 0.1]";
        let arm = "learning_rates = [0.02, 0.2]";
        for (from, to, parts) in [
            (
                trials,
                "candidates = [{ learning_rate = 0.1 }, { lerning_rate = 1.0 }]",
                ["line 13: unknown key \"lerning_rate\"", "\"learning_rate\"?"],
            ),
            (
                trials,
                "candidates = [{ learning_rate = 0.1 },\n{ learning_rate = \"x\" }]",
                ["line 14: invalid type: string \"x\"", "correct it"],
            ),
            (
                trials,
                "candidates = [{ learning_rates = [0.1] }]",
                ["line 13: unknown key \"learning_rates\"", "\"learning_rate\"?"],
            ),
            (
                trials,
                "candidates = [0.1, 0.2]",
                ["line 13: invalid type: floating point `0.1`", "expected a map"],
            ),
            (
                trials,
                "candidate = [{ beta = 3.0 }]",
                ["line 13: unknown key \"trials.candidate\"", "\"candidates\"?"],
            ),
            (
                trials,
                "candidates = [{ beta = 3.0 }]\nlearning_rates = [0.1]",
                ["[trials] gives both learning_rates and candidates", "{ learning_rate = 0.01 }"],
            ),
            (
                arm,
                "candidates = [{ beta = 3.0 },\n{ adversary.step = 3 }]",
                ["line 20: unknown key \"adversary.step\"", "\"steps\"?"],
            ),
            (
                arm,
                "candidates = [{ beta = 3.0 }]\nlearning_rates = [0.1]",
                ["arm number 1 gives both learning_rates and candidates", "leave learning_rates out"],
            ),
            (arm, "candidates = { beta = 3.0 }", ["line 19: invalid type: map", "expected a sequence"]),
        ] {
            let message = message(from, to);
            for part in parts.into_iter().chain(["study.toml"]) {
                assert!(message.contains(part), "{to}: {message}");
            }
        }
    }

    #[test]
    fn mistakes_are_reported_with_their_line() {
        for (from, to, parts) in [
            ("baseline", "base_line", ["line 3: unknown key \"base_line\"", "\"baseline\"?"]),
            ("seed = 100", "sead = 100", ["line 14: unknown key \"trials.sead\"", "\"seed\"?"]),
            ("seeds = [3, 1]", "seeds = [-1]", ["line 2: ", "invalid value"]),
            ("epochs = 3", "epoch = 3", ["line 7: unknown key \"epoch\"", "\"epochs\"?"]),
            ("steps = 2", "step = 2", ["line 10: unknown key", "\"steps\"?"]),
            ("settings_of", "settings_off", ["line 30: unknown key", "\"settings_of\"?"]),
            ("factor = 2.0", "faktor = 2.0", ["line 30: unknown key", "\"learning_rate_factor\"?"]),
            ("affine = \"shared\"", "afine = \"shared\"", ["line 25: unknown key", "\"affine\"?"]),
            ("affine = \"shared\"", "affine = \"shard\"", ["line 25: ", "unknown variant"]),
            ("method = \"twins-at\"", "method = \"twin\"", ["line 23: ", "twins-at"]),
            ("name = \"scaled\"", "epochs = \"x\"", ["line 28: ", "invalid type"]),
            ("[[arms]]  # a", "[[armes]]  # a", ["line 21: unknown key \"armes\"", "\"arms\"?"]),
        ] {
            let message = message(from, to);
            for part in parts.into_iter().chain(["study.toml"]) {
                assert!(message.contains(part), "{to}: {message}");
            }
        }
        let message = message("name = \"scaled\"\n", "");
        assert!(message.contains("arm number 3 has no name"), "{message}");
    }

    #[test]
    fn too_many_arms_are_refused_before_they_are_read() {
        let text = format!("seeds = [0]\n{}", "[[arms]]\n".repeat(101));
        let message = StudyConfig::from_toml("study.toml", &text).unwrap_err().to_string();
        assert!(message.contains("the study has 101 arms, more than 100"), "{message}");
    }

    #[test]
    fn only_toml_files_are_read() {
        let message = StudyConfig::read("study.json").unwrap_err().to_string();
        assert!(message.contains("study.json") && message.contains(".toml"), "{message}");
        let message = StudyConfig::read("missing.toml").unwrap_err().to_string();
        assert!(message.contains("cannot read missing.toml"), "{message}");
    }
}
