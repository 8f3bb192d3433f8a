use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// What a training starts its frozen wing from.
///
/// It matters for models that two-wing training or [`Trainer`](crate::Trainer) has produced: their two wings differ. A
/// checkpoint with ordinary batch normalisation fills both wings with the same values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrozenFrom {
    /// The weights that the training starts from: mean, variance, gamma and beta of the starting model's adaptive wing, which
    /// is the one that inference uses. This is TWINS as published (CVPR 2023, section 3), where the starting model is the
    /// pre-trained one.
    #[default]
    Weights,
    /// The frozen wing that the starting model, or its file, already has: statistics of a model before it.
    File,
}

impl FrozenFrom {
    /// Both values.
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
