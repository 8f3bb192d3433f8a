use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::engine::verification::VerificationRule;
use crate::error::AttackError;
use crate::norms::norm::{Norm, check_norm};
use crate::norms::threat_model::ThreatModel;

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

/// Settings of [`AutoAttack`]; the defaults are the published ones.
///
/// | setting | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | | allowed perturbations | epsilon > 0 |
/// | `version` | standard | which attacks | |
/// | `attacks` | those of the version | the attacks in their order | not empty |
/// | `steps` | 100 | steps of APGD and FAB | ≥ 1 |
/// | `restarts` | 5 for APGD and FAB in `plus`, 5 for APGD-CE in L1 in `standard`, else 1 | runs of untargeted attacks | ≥ 1 |
/// | `targets` | 9 (APGD-T in L1 in `standard`: 5) | classes that APGD-T and FAB-T aim at, at most the number of wrong classes | ≥ 1 |
/// | `queries` | 5000 | queries of Square | ≥ 1 |
/// | `eot` | 20 in `rand`, else 1 | passes over which gradients are averaged | ≥ 1 |
/// | `fresh_draws` | 1 | forward passes that decide whether a claimed adversarial example counts ([`VerificationRule`]) | ≥ 1 |
/// | `seed` | 0 | seed of all draws | |
///
/// ```
/// use twins_attack::{AutoAttackConfig, Norm, ThreatModel, Version};
/// let threat = ThreatModel::new(Norm::Linf, 8.0 / 255.0)?;
/// let autoattack = AutoAttackConfig::new(threat, Version::Standard).build()?;
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AutoAttackConfig {
    pub(super) threat: ThreatModel,
    pub(super) version: Version,
    pub(super) attacks: Vec<AttackKind>,
    pub(super) steps: usize,
    pub(super) restarts: Option<usize>,
    pub(super) targets: Option<usize>,
    pub(super) queries: usize,
    pub(super) eot: usize,
    #[serde(default = "one_draw")]
    pub(super) fresh_draws: usize,
    pub(super) seed: u64,
}

fn one_draw() -> usize {
    VerificationRule::default().fresh_draws
}

impl AutoAttackConfig {
    /// The published settings of a version; [`Version::Custom`] starts without attacks.
    pub fn new(threat: ThreatModel, version: Version) -> Self {
        use AttackKind::{ApgdCe, ApgdDlr, ApgdT, Fab, FabT, Square};
        let attacks = match version {
            Version::Standard => vec![ApgdCe, ApgdT, FabT, Square],
            Version::Plus => vec![ApgdCe, ApgdDlr, Fab, Square, ApgdT, FabT],
            Version::Rand => vec![ApgdCe, ApgdDlr],
            Version::Custom => Vec::new(),
        };
        let eot = if version == Version::Rand { 20 } else { 1 };
        Self {
            threat,
            version,
            attacks,
            steps: 100,
            restarts: None,
            targets: None,
            queries: 5000,
            eot,
            fresh_draws: one_draw(),
            seed: 0,
        }
    }

    /// These attacks in this order, otherwise with the settings of `standard`.
    pub fn custom(threat: ThreatModel, attacks: Vec<AttackKind>) -> Self {
        Self { attacks, ..Self::new(threat, Version::Custom) }
    }

    /// Sets the steps of APGD and FAB.
    pub fn with_steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the number of runs of the untargeted attacks.
    pub fn with_restarts(mut self, restarts: usize) -> Self {
        self.restarts = Some(restarts);
        self
    }

    /// Sets how many classes the targeted attacks aim at.
    pub fn with_targets(mut self, targets: usize) -> Self {
        self.targets = Some(targets);
        self
    }

    /// Sets the queries of Square.
    pub fn with_queries(mut self, queries: usize) -> Self {
        self.queries = queries;
        self
    }

    /// Sets the number of passes over which gradients are averaged.
    pub fn with_eot(mut self, eot: usize) -> Self {
        self.eot = eot;
        self
    }

    /// Sets the number of forward passes that decide whether a claimed adversarial example counts: it does if more than
    /// half of them misclassify it.
    pub fn with_fresh_draws(mut self, fresh_draws: usize) -> Self {
        self.fresh_draws = fresh_draws;
        self
    }

    /// Sets the seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`AttackError::UnsupportedNorm`], [`AttackError::ZeroEpsilon`], [`AttackError::NoAttacks`], [`AttackError::ZeroSteps`].
    pub fn build(self) -> Result<AutoAttack, AttackError> {
        check_norm("AutoAttack", self.threat.norm(), &[Norm::Linf, Norm::L2, Norm::L1])?;
        if self.threat.epsilon() == 0.0 {
            return Err(AttackError::ZeroEpsilon);
        }
        if self.attacks.is_empty() {
            return Err(AttackError::NoAttacks);
        }
        let counts = [
            (Some(self.steps), "steps"),
            (self.restarts, "restarts"),
            (self.targets, "targets"),
            (Some(self.queries), "queries"),
            (Some(self.eot), "EOT repetitions"),
            (Some(self.fresh_draws), "fresh draws"),
        ];
        for (count, what) in counts {
            if count == Some(0) {
                return Err(AttackError::ZeroSteps { attack: "AutoAttack", what });
            }
        }
        Ok(AutoAttack { config: self })
    }
}

/// AutoAttack (Croce & Hein 2020, arXiv 2003.01690; in L1 arXiv 2103.01208): the worst case over a sequence of attacks
/// without parameters to tune.
///
/// Each attack starts from the clean image, and sees only the samples that withstood the ones before. See
/// [`AutoAttack::evaluate`].
#[derive(Debug, Clone, PartialEq)]
pub struct AutoAttack {
    pub(super) config: AutoAttackConfig,
}

impl AutoAttack {
    /// The settings.
    pub fn config(&self) -> &AutoAttackConfig {
        &self.config
    }

    /// Whether the settings are for a randomised model.
    pub(super) fn expects_randomised(&self) -> bool {
        self.config.version == Version::Rand || self.config.eot > 1
    }

    /// When a claimed adversarial example counts.
    pub fn verification_rule(&self) -> VerificationRule {
        VerificationRule::majority_of(self.config.fresh_draws)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::norms::norm::Norm;

    #[test]
    fn names_round_trip_and_errors_list_the_known_ones() {
        for version in [Version::Standard, Version::Plus, Version::Rand, Version::Custom] {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        assert_eq!("fab-t".parse(), Ok(AttackKind::FabT));
        let error = "pgd".parse::<AttackKind>().unwrap_err().to_string();
        assert!(error.contains("`pgd`") && error.contains("apgd-ce") && error.contains("square"), "{error}");
    }

    #[test]
    fn wrong_settings_are_named() {
        let threat = |epsilon| ThreatModel::new(Norm::Linf, epsilon).unwrap();
        let standard = |epsilon| AutoAttackConfig::new(threat(epsilon), Version::Standard);
        assert!(matches!(standard(0.0).build(), Err(AttackError::ZeroEpsilon)));
        assert!(matches!(AutoAttackConfig::custom(threat(0.1), vec![]).build(), Err(AttackError::NoAttacks)));
        assert!(standard(0.1).with_queries(0).build().unwrap_err().to_string().contains("0 queries"));
    }
}
