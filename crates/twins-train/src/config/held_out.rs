//! How a configuration file specifies the validation: `validation = "none"`, a table, or a table with
//! `fraction = "none"`.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::or_none::NONE;
use super::train_config::ValidationConfig;

impl Serialize for ValidationConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Calls the function of the derive macro.
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for ValidationConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Given)
    }
}

struct Given;

impl<'de> Visitor<'de> for Given {
    type Value = ValidationConfig;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a table, or \"none\" to hold no images out")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ValidationConfig, A::Error> {
        // Calls the function of the derive macro.
        ValidationConfig::deserialize(MapAccessDeserializer::new(map))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<ValidationConfig, E> {
        if word == NONE { Ok(ValidationConfig::none()) } else { Err(E::unknown_variant(word, &[NONE])) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigFile, Preset, TrainConfig};

    #[test]
    fn none_is_a_word_or_the_fraction() {
        for text in
            ["validation = \"none\"", "[validation]\nfraction = \"none\"", "validation.fraction = \"none\""]
        {
            let config =
                ConfigFile::from_toml("run.toml", text).unwrap().apply(TrainConfig::default()).unwrap();
            assert_eq!(config.validation, ValidationConfig::none(), "{text}");
            config.validate().unwrap();
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<TrainConfig>(&json).unwrap(), config, "{json}");
        }
        let steps = ConfigFile::from_toml("run.toml", "[validation.protocol]\nsteps = 33\n").unwrap();
        let none = ConfigFile::from_toml("--set", "validation = \"none\"").unwrap();
        let both = none.apply(steps.apply(TrainConfig::default()).unwrap()).unwrap().validation;
        assert_eq!((both.fraction, both.protocol.steps), (None, 33));
        let given = ConfigFile::from_toml("run.toml", "[validation]\nfraction = 0.25\n").unwrap();
        assert_eq!(given.apply(Preset::PaperCifar.config()).unwrap().validation.fraction, Some(0.25));
        let given = ConfigFile::from_toml("run.toml", "validation.groups = \"prefix:_\"\n").unwrap();
        let grouped = given.apply(TrainConfig::default()).unwrap().validation;
        assert_eq!((grouped.fraction, grouped.groups.to_string()), (Some(0.1), "prefix:_".to_owned()));
        for (text, part) in [
            ("epochs = 1\nvalidation = \"nothing\"", "line 2: unknown variant `nothing`"),
            ("[validation]\nfraction = \"some\"", "line 2: unknown variant `some`"),
            (
                "epochs = 1\nvalidation = true",
                "line 2: invalid type: boolean `true`, expected a table, or \"none\"",
            ),
            ("[validation]\ngroups = \"prefix\"", "line 2: the grouping (validation.groups) is \"prefix\""),
            ("[validation]\nfractoin = 0.1", "did you mean \"fraction\"?"),
        ] {
            let message = ConfigFile::from_toml("run.toml", text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
