use std::fmt;

use twins_train::SettingsFile;

use super::ExperimentConfig;
use super::layer::short;

/// Where settings come from: what they were put over, and which source gave which.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    pub(crate) base: String,
    /// Key and source, in the order of the layers; a later layer replaces an earlier one's entry.
    pub(crate) given: Vec<(String, String)>,
    /// The keys of `given` whose value is that of the base.
    pub(crate) unchanged: Vec<String>,
    /// The keys of `given` that only shared layers give.
    pub(crate) shared: Vec<String>,
}

impl Sources {
    /// Of settings that a program made: what differs from the defaults was chosen by it.
    pub(crate) fn of_program(config: &ExperimentConfig) -> Self {
        let (mut given, mut unchanged) = (Vec::new(), Vec::new());
        let layer = |config: &ExperimentConfig| {
            let value = serde_json::to_value(config).expect("settings are plain data");
            SettingsFile::<ExperimentConfig>::from_value("program", value).expect("its own settings")
        };
        let [own, usual] = [config, &ExperimentConfig::default()].map(layer);
        for key in own.keys() {
            if own.value(&key) == usual.value(&key) {
                unchanged.push(key.clone());
            }
            given.push((key, "set by the program".to_owned()));
        }
        Self { base: "the defaults".to_owned(), given, unchanged, shared: Vec::new() }
    }

    /// The source that gave a setting (by its dotted key), or anything below it; `None` where it is the base's or follows from others.
    pub fn of(&self, key: &str) -> Option<&str> {
        let below = |given: &str| {
            given.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.given.iter().find(|(given, _)| below(given)).map(|(_, source)| source.as_str())
    }

    /// As [`of`](Self::of), for settings that exclude others: not where the value is the base's, nor from layers that several
    /// methods share.
    pub(crate) fn of_choice(&self, key: &str) -> Option<&str> {
        let has = |keys: &[String]| keys.iter().any(|other| other == key);
        self.of(key).filter(|_| !has(&self.unchanged) && !has(&self.shared))
    }

    /// Where a setting's value comes from, in words.
    pub fn describe(&self, key: &str) -> &str {
        self.of(key).unwrap_or(&self.base)
    }
}

/// One line: the base, and what was put over it.
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
