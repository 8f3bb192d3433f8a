use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use twins_attack::Length;

use crate::error::ReportError;

/// A setting of a run and its default value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Setting {
    /// The path in the configuration, such as `adversary.steps`.
    pub name: String,
    /// The value, as text.
    pub value: String,
    /// The default value; `None` if the default configuration has no such setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

impl Setting {
    /// Lists the leaves of a configuration with their default values, in the order of their names.
    ///
    /// Lengths (`epsilon`, `step_size`) are written as in papers, for instance `8/255`.
    ///
    /// ```
    /// use twins_report::Setting;
    ///
    /// # fn main() -> Result<(), twins_report::ReportError> {
    /// #[derive(serde::Serialize)]
    /// struct Config { epochs: usize, epsilon: f64 }
    ///
    /// let default = Config { epochs: 60, epsilon: 8.0 / 255.0 };
    /// let settings = Setting::compare(&Config { epochs: 10, ..default }, &default)?;
    /// assert_eq!((settings[0].name.as_str(), settings[0].value.as_str()), ("epochs", "10"));
    /// assert!(settings[0].differs() && !settings[1].differs());
    /// assert_eq!(settings[1].value, "8/255");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ReportError::Settings`] if a configuration cannot be written as JSON.
    pub fn compare<T: Serialize, D: Serialize>(value: &T, default: &D) -> Result<Vec<Self>, ReportError> {
        let defaults: BTreeMap<String, String> = leaves(default)?.into_iter().collect();
        let settings = leaves(value)?.into_iter().map(|(name, value)| {
            let default = defaults.get(&name).cloned();
            Self { name, value, default }
        });
        Ok(settings.collect())
    }

    /// Whether the value differs from the default value.
    pub fn differs(&self) -> bool {
        self.default.as_ref() != Some(&self.value)
    }
}

/// Returns the path, such as `a.b.c`, and the value of every leaf, in the order of the paths.
fn leaves<T: Serialize>(config: &T) -> Result<Vec<(String, String)>, ReportError> {
    let value =
        serde_json::to_value(config).map_err(|error| ReportError::Settings { problem: error.to_string() })?;
    let mut leaves = Vec::new();
    flatten("", &value, &mut leaves);
    leaves.sort();
    Ok(leaves)
}

fn flatten(path: &str, value: &Value, into: &mut Vec<(String, String)>) {
    let text = match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, into);
            }
            return;
        }
        Value::Number(number) => match number.as_f64().filter(|_| is_length(path)) {
            Some(length) => Length::new(length).to_string(),
            None => number.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    };
    into.push((path.to_owned(), text));
}

fn is_length(path: &str) -> bool {
    matches!(path.rsplit('.').next(), Some("epsilon" | "step_size"))
}

#[cfg(test)]
mod tests {
    use twins_train::{Method, TrainConfig};

    use super::*;

    #[test]
    fn only_what_was_changed_differs() {
        let config = TrainConfig { epochs: 3, ..TrainConfig::new(Method::At).with_ema_decay(0.5) };
        let settings = Setting::compare(&config, &TrainConfig::new(Method::At)).unwrap();
        let changed: Vec<(&str, &str, Option<&str>)> = settings
            .iter()
            .filter(|setting| setting.differs())
            .map(|setting| (setting.name.as_str(), setting.value.as_str(), setting.default.as_deref()))
            .collect();
        assert_eq!(changed, [("ema_decay", "0.5", None), ("epochs", "3", Some("60"))]);
        let epsilon = settings.iter().find(|setting| setting.name == "adversary.epsilon").unwrap();
        assert_eq!(epsilon.value, "8/255");
    }

    #[test]
    fn a_setting_that_the_default_lacks_differs() {
        let value = serde_json::json!({ "awp": { "gamma": 0.01 } });
        let default = serde_json::json!({ "awp": null });
        let settings = Setting::compare(&value, &default).unwrap();
        assert_eq!(settings.len(), 1);
        assert_eq!((settings[0].name.as_str(), &settings[0].default), ("awp.gamma", &None));
        assert!(settings[0].differs());
    }
}
