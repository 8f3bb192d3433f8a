use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// The source of the frozen wing at the start of training.
///
/// The choice matters only for models that two-wing training or [`Trainer`](crate::Trainer) has produced, because their
/// two wings differ. A checkpoint with ordinary batch normalisation fills both wings with the same values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FrozenFrom {
    /// The adaptive wing of the starting model, which is the wing that inference uses: its mean, variance, gamma and beta.
    /// This is TWINS as published (CVPR 2023, section 3), where the starting model is the pre-trained model.
    #[default]
    Weights,
    /// The frozen wing that the starting model, or its file, already has. It contains the statistics of an earlier
    /// model.
    File,
}

impl FrozenFrom {
    /// All values.
    pub const ALL: [FrozenFrom; 2] = [FrozenFrom::Weights, FrozenFrom::File];

    /// The name on the command line and in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            FrozenFrom::Weights => "weights",
            FrozenFrom::File => "file",
        }
    }
}

impl fmt::Display for FrozenFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FrozenFrom {
    type Err = TrainError;

    fn from_str(name: &str) -> Result<Self, TrainError> {
        let found = Self::ALL.into_iter().find(|value| value.name() == name);
        found.ok_or_else(|| TrainError::UnknownFrozenFrom { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for value in FrozenFrom::ALL {
            assert_eq!(value.to_string().parse::<FrozenFrom>().unwrap(), value);
            assert_eq!(serde_json::to_string(&value).unwrap(), format!("\"{value}\""));
        }
        let message = "wing".parse::<FrozenFrom>().unwrap_err().to_string();
        assert!(message.contains("\"wing\"") && message.contains("weights, file"), "{message}");
    }
}
