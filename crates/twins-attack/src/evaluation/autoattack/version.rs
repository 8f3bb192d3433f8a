use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The published compositions of AutoAttack, and a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Version {
    /// APGD-CE, APGD-T, FAB-T, Square: the figure that papers report.
    Standard,
    /// APGD-CE, APGD-DLR and FAB with 5 restarts each, Square, APGD-T, FAB-T.
    Plus,
    /// APGD-CE and APGD-DLR with gradients averaged over 20 passes, for randomised models.
    Rand,
    /// The attacks named one by one.
    Custom,
}

/// An attack of AutoAttack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttackKind {
    /// APGD on the cross-entropy.
    ApgdCe,
    /// APGD on the DLR loss.
    ApgdDlr,
    /// Targeted APGD on the DLR loss.
    ApgdT,
    /// Untargeted FAB.
    Fab,
    /// Targeted FAB.
    FabT,
    /// Square.
    Square,
}

/// Defines `Display` and `FromStr` of an enum from one list of names.
macro_rules! names {
    ($type:ident, $error:ident, $what:literal, $($variant:ident => $name:literal),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($type::$variant => $name),+ })
            }
        }

        #[doc = concat!("The text names no ", $what, ".")]
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[error("unknown {what} `{0}`: known are {known}", what = $what, known = [$($name),+].join(", "))]
        pub struct $error(pub String);

        impl FromStr for $type {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok($type::$variant),)+
                    _ => Err($error(text.to_string())),
                }
            }
        }
    };
}

names!(Version, UnknownVersion, "version", Standard => "standard", Plus => "plus", Rand => "rand", Custom => "custom");
names!(
    AttackKind, UnknownAttack, "attack",
    ApgdCe => "apgd-ce", ApgdDlr => "apgd-dlr", ApgdT => "apgd-t", Fab => "fab", FabT => "fab-t", Square => "square"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_errors_list_the_known_ones() {
        for version in [Version::Standard, Version::Plus, Version::Rand, Version::Custom] {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        assert_eq!("fab-t".parse(), Ok(AttackKind::FabT));
        let error = "pgd".parse::<AttackKind>().unwrap_err().to_string();
        assert!(error.contains("`pgd`") && error.contains("apgd-ce") && error.contains("square"), "{error}");
    }
}
