//! An optional number in a configuration file, for `#[serde(with = ...)]`. The file contains either the number or `"none"`, which
//! removes a number that an earlier source has set.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// The text that means no value.
pub(super) const NONE: &str = "none";

pub(super) fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.serialize_f64(*value),
        None => serializer.serialize_str(NONE),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    deserializer.deserialize_any(Given)
}

/// The values that a file can have.
#[cfg(feature = "schema")]
pub(super) fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "anyOf": [{ "type": "number" }, { "const": NONE }] })
}

struct Given;

impl Visitor<'_> for Given {
    type Value = Option<f64>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number, or \"none\"")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Option<f64>, E> {
        Ok(Some(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Option<f64>, E> {
        Ok(Some(value as f64))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Option<f64>, E> {
        Ok(Some(value as f64))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Option<f64>, E> {
        if word == NONE { Ok(None) } else { Err(E::unknown_variant(word, &[NONE])) }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigFile, TrainConfig};

    #[test]
    fn a_file_has_a_number_or_none() {
        for (text, expected) in [
            ("", Some(0.25)),
            ("gradient_clip = \"none\"", None),
            ("gradient_clip = 2", Some(2.0)),
            ("gradient_clip = 0.5", Some(0.5)),
        ] {
            let before = TrainConfig::default().with_gradient_clip(0.25);
            let config = ConfigFile::from_toml("run.toml", text).unwrap().apply(before).unwrap();
            assert_eq!(config.gradient_clip, expected, "{text}");
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<TrainConfig>(&json).unwrap(), config, "{json}");
        }
        for (text, part) in [
            ("epochs = 1\ngradient_clip = \"some\"", "line 2: unknown variant `some`"),
            ("gradient_clip = true", "expected a number, or \"none\""),
        ] {
            let message = ConfigFile::from_toml("run.toml", text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
