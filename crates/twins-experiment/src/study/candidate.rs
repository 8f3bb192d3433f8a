use std::collections::BTreeMap;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use twins_files::one_line;

use super::table::shortest;
use crate::error::ExperimentError;
use crate::settings::{Layer, short};

const LEARNING_RATE: &str = "learning_rate";

/// The most bytes in the name of a directory, in usual file systems.
const LONGEST_NAME: usize = 255;

/// The settings of a trial in which the candidates of an arm differ, by their dotted keys.
///
/// ```
/// use twins_experiment::Candidate;
///
/// let candidate = Candidate::new().with_setting("lambda", 0.5).with_setting("learning_rate", 0.01);
/// assert_eq!(candidate.to_string(), "learning rate 0.01, lambda 0.5");
/// assert_eq!(candidate, "learning_rate = 0.01\nlambda = 0.5".parse()?);
/// # Ok::<(), twins_experiment::ExperimentError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Candidate {
    settings: BTreeMap<String, Value>,
}

impl Candidate {
    /// Creates a candidate without settings, which uses those of the arm.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a candidate with a learning rate; all other settings are those of the arm.
    pub fn of_learning_rate(learning_rate: f64) -> Self {
        Self::new().with_learning_rate(learning_rate)
    }

    /// Sets a setting by its key in a study file, such as `learning_rate`, `adversary.steps` or `model.affine`.
    /// [`StudyConfig::check`](super::StudyConfig::check) reports an unknown key.
    ///
    /// # Panics
    ///
    /// If the value cannot be represented in JSON, such as a map whose keys are not strings.
    #[must_use]
    pub fn with_setting(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("a setting has a form in JSON");
        let key = key.into();
        self.settings.insert(short(&key).to_owned(), value);
        self
    }

    /// The settings by their keys.
    pub fn settings(&self) -> &BTreeMap<String, Value> {
        &self.settings
    }

    /// The learning rate, if it gives one.
    pub fn learning_rate(&self) -> Option<f64> {
        self.settings.get(LEARNING_RATE)?.as_f64()
    }

    /// The settings without the learning rate.
    pub(super) fn without_learning_rate(&self) -> Self {
        self.clone().without(|key| key == LEARNING_RATE)
    }

    /// The settings without those for which `left_out` returns true.
    pub(super) fn without(mut self, left_out: impl Fn(&str) -> bool) -> Self {
        self.settings.retain(|key, _| !left_out(key));
        self
    }

    pub(super) fn with_learning_rate(self, learning_rate: f64) -> Self {
        self.with_setting(LEARNING_RATE, learning_rate)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.settings.is_empty()
    }

    /// The settings as a layer.
    pub(super) fn layer(&self, source: &str) -> Result<Layer, ExperimentError> {
        Layer::settings(source, self.settings.iter().map(|(key, value)| (key.as_str(), value.clone())))
    }

    /// The name of a directory: `lr-0.01`, or `lr-0.01,lambda-0.5`. Different candidates have different names: one that is too long for a
    /// file system ends with a hash of the whole.
    pub(super) fn directory(&self) -> String {
        let part = |(key, value): (&str, &Value)| {
            let key = if key == LEARNING_RATE { "lr".to_owned() } else { in_file_name(key) };
            format!("{key}-{}", in_file_name(&in_words(value)))
        };
        let name = self.in_order().map(part).collect::<Vec<_>>().join(",");
        if name.len() <= LONGEST_NAME {
            return name;
        }
        let hash = format!("{:x}", Sha256::digest(&name));
        let end = format!("~{}", &hash[..16]);
        // All of it is ASCII.
        name[..LONGEST_NAME - end.len()].to_owned() + &end
    }

    /// The settings with the learning rate first.
    fn in_order(&self) -> impl Iterator<Item = (&str, &Value)> {
        let rate = self.settings.iter().filter(|(key, _)| *key == LEARNING_RATE);
        let others = self.settings.iter().filter(|(key, _)| *key != LEARNING_RATE);
        rate.chain(others).map(|(key, value)| (key.as_str(), value))
    }
}

impl From<&Layer> for Candidate {
    fn from(layer: &Layer) -> Self {
        layer
            .values()
            .into_iter()
            .fold(Self::new(), |candidate, (key, value)| candidate.with_setting(key, value))
    }
}

/// Reads settings in TOML format.
impl std::str::FromStr for Candidate {
    type Err = ExperimentError;

    fn from_str(text: &str) -> Result<Self, ExperimentError> {
        Ok(Self::from(&Layer::from_toml("a candidate", text)?))
    }
}

/// For instance `learning rate 0.01, lambda 0.5`.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.in_order().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let key = if key == LEARNING_RATE { "learning rate" } else { key };
            write!(f, "{separator}{} {}", one_line(key), one_line(&shown(value)))?;
        }
        Ok(())
    }
}

/// A value as text: numbers in full, strings without quotation marks.
fn in_words(value: &Value) -> String {
    match (value, value.as_f64()) {
        (_, Some(number)) => number.to_string(),
        (Value::String(text), None) => text.clone(),
        _ => value.to_string(),
    }
}

/// A value as text, numbers rounded to six significant digits.
fn shown(value: &Value) -> String {
    value.as_f64().map_or_else(|| in_words(value), shortest)
}

/// Escapes text for a file name: bytes other than letters, digits, `.`, `_` and `-` become `%` and two hexadecimal
/// digits.
fn in_file_name(text: &str) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');
    utf8_percent_encode(text, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Candidate {
        text.parse().unwrap()
    }

    #[test]
    fn candidates_have_directories_of_their_own() {
        for (text, directory, words) in [
            ("learning_rate = 0.003", "lr-0.003", "learning rate 0.003"),
            ("learning_rate = 10", "lr-10", "learning rate 10"),
            ("learning_rate = 1e-5", "lr-0.00001", "learning rate 0.00001"),
            ("lambda = 0.5\nlearning_rate = 0.1", "lr-0.1,lambda-0.5", "learning rate 0.1, lambda 0.5"),
            ("training.beta = 6", "beta-6", "beta 6"),
            ("adversary.epsilon = \"8/255\"", "adversary.epsilon-8%2F255", "adversary.epsilon 8/255"),
            ("freeze = [\"a,b\"]", "freeze-%5B%22a%2Cb%22%5D", "freeze [\"a,b\"]"),
        ] {
            let candidate = read(text);
            assert_eq!((candidate.directory().as_str(), candidate.to_string().as_str()), (directory, words));
            let json = serde_json::to_string(&candidate).unwrap();
            assert_eq!(serde_json::from_str::<Candidate>(&json).unwrap(), candidate);
        }
        let json = serde_json::to_string(&read("learning_rate = 0.1\nmodel.affine = \"shared\"")).unwrap();
        assert_eq!(json, r#"{"learning_rate":0.1,"model.affine":"shared"}"#);
        assert_eq!(read("learning_rate = 0.1\nbeta = 3.0").without_learning_rate(), read("beta = 3.0"));
    }

    #[test]
    fn long_names_of_directories_are_shortened_and_differ() {
        let names = ["a", "b"].map(|last| {
            let layers: Vec<String> = (0..40).map(|layer| format!("layer{layer}")).collect();
            let freeze = [layers, vec![last.to_owned()]].concat();
            Candidate::of_learning_rate(0.1).with_setting("freeze", freeze).directory()
        });
        for name in &names {
            assert!(name.len() == 255 && name.starts_with("lr-0.1,freeze-%5B%22layer0"), "{name}");
        }
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn a_key_that_is_not_known_is_an_error() {
        let message = "lamda = 0.5".parse::<Candidate>().unwrap_err().to_string();
        assert!(message.contains("a candidate") && message.contains("\"lambda\"?"), "{message}");
        let message = Candidate::new().with_setting("lamda", 0.5).layer("x").unwrap_err().to_string();
        assert!(message.contains("\"lambda\"?"), "{message}");
    }
}
