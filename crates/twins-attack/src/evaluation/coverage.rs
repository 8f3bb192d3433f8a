use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which samples each attack of an evaluation attacks. A sample that the model misclassifies without an attack is never
/// attacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// The samples that no earlier attack has broken under the attack's threat model. This is sufficient to measure
    /// robust accuracy.
    #[default]
    Survivors,
    /// All samples. Robust accuracy is the same up to the attacks' luck. In addition, each stage reports the robust
    /// accuracy against its attack alone ([`StageReport::own_robust`](crate::StageReport::own_robust)), which allows a
    /// comparison of attacks.
    EveryAttack,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Coverage::Survivors => "survivors",
            Coverage::EveryAttack => "every-attack",
        })
    }
}

/// The error for a text that is not the name of a coverage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown coverage `{0}`: known are survivors, every-attack")]
pub struct UnknownCoverage(pub String);

impl FromStr for Coverage {
    type Err = UnknownCoverage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "survivors" => Ok(Coverage::Survivors),
            "every-attack" => Ok(Coverage::EveryAttack),
            _ => Err(UnknownCoverage(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_the_error_lists_the_known_ones() {
        for coverage in [Coverage::Survivors, Coverage::EveryAttack] {
            assert_eq!(coverage.to_string().parse(), Ok(coverage));
        }
        let error = "all".parse::<Coverage>().unwrap_err().to_string();
        assert!(error.contains("`all`") && error.contains("survivors, every-attack"), "{error}");
    }
}
