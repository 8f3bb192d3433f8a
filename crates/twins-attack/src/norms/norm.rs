use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The norm in which a perturbation is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Largest absolute change of any value.
    Linf,
    /// Euclidean length of the change.
    L2,
    /// Sum of the absolute changes.
    L1,
}

impl Norm {
    /// The norm `‖v‖` of a vector, summed in double precision.
    ///
    /// ```
    /// use twins_attack::Norm;
    /// assert_eq!(Norm::Linf.length([3.0, -4.0]), 4.0);
    /// assert_eq!(Norm::L2.length([3.0, -4.0]), 5.0);
    /// assert_eq!(Norm::L1.length([3.0, -4.0]), 7.0);
    /// ```
    pub fn length(self, vector: impl IntoIterator<Item = f32>) -> f32 {
        let values = vector.into_iter();
        match self {
            Norm::Linf => values.fold(0.0, |longest, v| v.abs().max(longest)),
            Norm::L2 => values.map(|v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt() as f32,
            Norm::L1 => values.map(|v| f64::from(v).abs()).sum::<f64>() as f32,
        }
    }

    /// The name as texts for people write it; [`Display`](fmt::Display) gives the one of command lines and files.
    ///
    /// ```
    /// use twins_attack::Norm;
    /// assert_eq!((Norm::Linf.symbol(), Norm::Linf.to_string().as_str()), ("Linf", "linf"));
    /// ```
    pub fn symbol(self) -> &'static str {
        match self {
            Norm::Linf => "Linf",
            Norm::L2 => "L2",
            Norm::L1 => "L1",
        }
    }
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Norm::Linf => "linf",
            Norm::L2 => "l2",
            Norm::L1 => "l1",
        })
    }
}

/// The text names no norm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown norm `{0}`: known are linf, l2 and l1")]
pub struct UnknownNorm(pub String);

impl FromStr for Norm {
    type Err = UnknownNorm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "linf" => Ok(Norm::Linf),
            "l2" => Ok(Norm::L2),
            "l1" => Ok(Norm::L1),
            _ => Err(UnknownNorm(text.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_an_unknown_one_is_named() {
        for norm in [Norm::Linf, Norm::L2, Norm::L1] {
            assert_eq!(norm.to_string().parse(), Ok(norm));
        }
        assert!("l0".parse::<Norm>().unwrap_err().to_string().contains("l0"));
    }
}
