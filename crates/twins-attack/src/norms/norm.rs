use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::norms::geometry::Geometry;
use crate::norms::{l0, l1, l2, linf};

/// The norm that measures a perturbation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Largest absolute change of any value.
    Linf,
    /// Euclidean length of the change.
    L2,
    /// Sum of the absolute changes.
    L1,
    /// Number of changed values. Each channel of a pixel counts separately, as in FMN (Pintor et al. 2021, arXiv
    /// 2102.12827) and σ-zero (Cinà et al. 2025, arXiv 2402.01879). Papers on sparse attacks that count pixels allow up
    /// to three times as many values on colour images.
    L0,
}

impl Norm {
    /// Every norm.
    pub const ALL: [Norm; 4] = [Norm::Linf, Norm::L2, Norm::L1, Norm::L0];

    /// The operations of the norm that attacks need.
    pub(crate) fn geometry(self) -> &'static dyn Geometry {
        match self {
            Norm::Linf => &linf::Linf,
            Norm::L2 => &l2::L2,
            Norm::L1 => &l1::L1,
            Norm::L0 => &l0::L0,
        }
    }

    /// Computes the norm `‖v‖` of a vector, summed in double precision.
    ///
    /// ```
    /// use twins_attack::Norm;
    /// assert_eq!(Norm::Linf.length([3.0, -4.0]), 4.0);
    /// assert_eq!(Norm::L2.length([3.0, -4.0]), 5.0);
    /// assert_eq!(Norm::L1.length([3.0, -4.0]), 7.0);
    /// assert_eq!(Norm::L0.length([3.0, -4.0, 0.0]), 2.0);
    /// ```
    pub fn length(self, vector: impl IntoIterator<Item = f32>) -> f32 {
        // This is not a method of `Geometry`, because a virtual call for each value would cost more than the sum.
        let values = vector.into_iter();
        match self {
            Norm::Linf => linf::length(values),
            Norm::L2 => l2::length(values),
            Norm::L1 => l1::length(values),
            Norm::L0 => l0::length(values),
        }
    }

    /// The distance from an image to the farthest corner of the box [0, 1]: no image is farther away.
    pub(crate) fn farthest_in_box(self, image: &[f32]) -> f32 {
        self.length(image.iter().map(|&x| x.max(1.0 - x)))
    }

    /// The dual norm `‖w‖* = max { w · v : ‖v‖ ≤ 1 }`, which measures the distance of a hyperplane with normal `w`. L0
    /// has no dual norm, because it is not a norm in the strict sense: it does not scale with the vector.
    ///
    /// ```
    /// use twins_attack::Norm;
    /// assert_eq!(Norm::Linf.dual(), Some(Norm::L1));
    /// assert_eq!(Norm::L0.dual(), None);
    /// ```
    pub fn dual(self) -> Option<Norm> {
        self.geometry().dual()
    }

    /// The name in texts for human readers. [`Display`](fmt::Display) gives the name in command lines and files.
    ///
    /// ```
    /// use twins_attack::Norm;
    /// assert_eq!((Norm::Linf.symbol(), Norm::Linf.to_string().as_str()), ("Linf", "linf"));
    /// ```
    pub fn symbol(self) -> &'static str {
        self.geometry().symbol()
    }
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.geometry().name())
    }
}

/// The error for a text that is not the name of a norm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown norm `{0}`: known are {names}", names = enumerate(&Norm::ALL))]
pub struct UnknownNorm(pub String);

impl FromStr for Norm {
    type Err = UnknownNorm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = |norm: &Norm| text.eq_ignore_ascii_case(norm.geometry().name());
        Norm::ALL.into_iter().find(named).ok_or_else(|| UnknownNorm(text.to_string()))
    }
}

/// Refuses a norm that an attack does not support. Every attack calls this when its settings are checked.
pub(crate) fn check_norm(
    attack: &'static str,
    norm: Norm,
    supported: &'static [Norm],
) -> Result<(), AttackError> {
    if supported.contains(&norm) {
        Ok(())
    } else {
        Err(SettingError::UnsupportedNorm { attack, norm, supported }.into())
    }
}

/// The norms as a list in words: `linf, l2 and l1`.
pub(crate) fn enumerate(norms: &[Norm]) -> String {
    let names: Vec<String> = norms.iter().map(Norm::to_string).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_an_unknown_one_is_named() {
        for norm in Norm::ALL {
            let name = norm.to_string();
            assert_eq!(name.parse(), Ok(norm));
            assert_eq!(norm.symbol().parse(), Ok(norm));
            assert_eq!(serde_json::to_string(&norm).unwrap(), format!("\"{name}\""));
        }
        let error = "l3".parse::<Norm>().unwrap_err().to_string();
        assert_eq!(error, "unknown norm `l3`: known are linf, l2, l1 and l0");
    }

    #[test]
    fn linf_and_l1_are_duals_and_l2_is_its_own() {
        let duals = [Norm::Linf, Norm::L2, Norm::L1, Norm::L0].map(Norm::dual);
        assert_eq!(duals, [Some(Norm::L1), Some(Norm::L2), Some(Norm::Linf), None]);
    }

    #[test]
    fn the_farthest_corner_is_on_the_other_side_of_every_value() {
        // The values can move by 0.75 and 0.875.
        let farthest = |norm: Norm| norm.farthest_in_box(&[0.25, 0.875]);
        assert_eq!((farthest(Norm::Linf), farthest(Norm::L1)), (0.875, 1.625));
    }

    #[test]
    fn an_unsupported_norm_is_refused_with_the_supported_ones() {
        let supported = &[Norm::Linf, Norm::L2, Norm::L1];
        assert!(check_norm("Square", Norm::L1, supported).is_ok());
        let error = check_norm("Square", Norm::L0, supported).unwrap_err().to_string();
        assert_eq!(error, "Square does not support L0: it supports linf, l2 and l1");
        let error = check_norm("Sparse", Norm::L2, &[Norm::L0]).unwrap_err().to_string();
        assert_eq!(error, "Sparse does not support L2: it supports l0");
    }
}
