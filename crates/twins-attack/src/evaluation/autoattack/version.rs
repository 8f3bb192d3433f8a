use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The published compositions of AutoAttack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Version {
    /// APGD-CE, APGD-T, FAB-T and Square. Papers report the result of this version.
    Standard,
    /// APGD-CE, APGD-DLR and FAB with 5 restarts each, then Square, APGD-T and FAB-T.
    Plus,
    /// APGD-CE and APGD-DLR with gradients averaged over 20 passes, for randomised models.
    Rand,
}

impl Version {
    /// Every version.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Plus, Self::Rand];
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Version::Standard => "standard",
            Version::Plus => "plus",
            Version::Rand => "rand",
        })
    }
}

/// The error for a text that is not the name of a version of AutoAttack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown version `{0}` of AutoAttack: known are standard, plus and rand")]
pub struct UnknownVersion(pub String);

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = |version: &Self| version.to_string() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_an_unknown_one_is_named() {
        for version in Version::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        let error = "custom".parse::<Version>().unwrap_err().to_string();
        assert!(error.contains("`custom`") && error.contains("standard"), "{error}");
    }
}
