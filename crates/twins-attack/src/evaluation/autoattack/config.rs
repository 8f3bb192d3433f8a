use serde::{Deserialize, Serialize};

use super::version::Version;
use crate::engine::verification::VerificationRule;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::norms::norm::{Norm, check_norm};
use crate::norms::threat_model::ThreatModel;

/// Settings of AutoAttack (Croce & Hein 2020, arXiv 2003.01690; in L1 arXiv 2103.01208). AutoAttack is the preset list
/// of attacks of
/// [`RobustnessEvaluation::autoattack`](crate::RobustnessEvaluation::autoattack). The defaults are the published
/// settings.
///
/// | setting | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | | allowed perturbations | epsilon > 0 |
/// | `more_threats` | none | further threat models; all attacks run under each of them, one threat model after the other | all different |
/// | `version` | standard | which attacks are run | |
/// | `steps` | 100 | number of steps of APGD and FAB | ≥ 1 |
/// | `restarts` | 5 for APGD and FAB in `plus`, 5 for APGD-CE in L1 in `standard`, else 1 | runs of APGD-CE, APGD-DLR and FAB; Square runs once | ≥ 1 |
/// | `targets` | 9 (APGD-T in L1 in `standard`: 5) | classes that APGD-T and FAB-T aim at, at most the number of wrong classes | ≥ 1 |
/// | `queries` | 5000 | number of queries of Square | ≥ 1 |
/// | `eot` | 20 in `rand`, else 1 | number of passes over which APGD averages gradients; FAB does not average | ≥ 1 |
/// | `fresh_draws` | 1 | forward passes that decide whether a claimed adversarial example counts ([`VerificationRule`]) | ≥ 1 |
/// | `seed` | 0 | seed of all random draws | |
///
/// ```
/// use twins_attack::{AutoAttackConfig, Norm, RobustnessEvaluation, ThreatModel, Version};
/// let threat = ThreatModel::new(Norm::Linf, 8.0 / 255.0)?;
/// let autoattack = RobustnessEvaluation::autoattack(AutoAttackConfig::new(threat, Version::Standard))?;
/// // A robustness curve.
/// let curve = AutoAttackConfig::new(threat, Version::Standard).with_epsilons(&[2.0 / 255.0, 4.0 / 255.0, 8.0 / 255.0])?;
/// let curve = RobustnessEvaluation::autoattack(curve)?;
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AutoAttackConfig {
    /// The allowed perturbations.
    pub(super) threat: ThreatModel,
    /// Further threat models, under which all attacks run one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) more_threats: Vec<ThreatModel>,
    /// The list of attacks.
    pub(in crate::evaluation) version: Version,
    /// Number of steps of APGD and FAB.
    pub(super) steps: usize,
    /// Runs of untargeted attacks; `None` for the published number of each attack.
    pub(super) restarts: Option<usize>,
    /// Number of classes that APGD-T and FAB-T aim at; `None` for the published number.
    pub(super) targets: Option<usize>,
    /// Number of queries of Square.
    pub(super) queries: usize,
    /// Number of passes over which gradients are averaged.
    pub(super) eot: usize,
    /// Forward passes that decide whether a claimed adversarial example counts.
    #[serde(default = "one_draw")]
    pub(in crate::evaluation) fresh_draws: usize,
    /// The seed of all random draws.
    pub(in crate::evaluation) seed: u64,
}

fn one_draw() -> usize {
    VerificationRule::default().fresh_draws
}

impl AutoAttackConfig {
    /// The published settings of a version.
    pub fn new(threat: ThreatModel, version: Version) -> Self {
        let eot = if version == Version::Rand { 20 } else { 1 };
        Self {
            threat,
            more_threats: Vec::new(),
            version,
            steps: 100,
            restarts: None,
            targets: None,
            queries: 5000,
            eot,
            fresh_draws: one_draw(),
            seed: 0,
        }
    }

    /// Replaces the radius with several radii, which give a robustness curve. The attacks run at the smallest radius
    /// first, and then at the next one on the samples that survive.
    ///
    /// # Errors
    /// [`SettingError::Epsilon`] or [`SettingError::LinfEpsilon`] for a radius that is not valid in a threat model.
    pub fn with_epsilons(self, epsilons: &[f32]) -> Result<Self, AttackError> {
        let mut epsilons = epsilons.to_vec();
        epsilons.sort_by(f32::total_cmp);
        let norm = self.threat.norm();
        let threats = epsilons.iter().map(|epsilon| ThreatModel::new(norm, *epsilon));
        Ok(self.with_threats(threats.collect::<Result<_, _>>()?))
    }

    /// Replaces the threat model with several threat models, such as the union of several norms. The attacks run under
    /// one threat model after the other. An empty list changes nothing.
    pub fn with_threats(mut self, threats: Vec<ThreatModel>) -> Self {
        let mut threats = threats.into_iter();
        if let Some(first) = threats.next() {
            self.threat = first;
            self.more_threats = threats.collect();
        }
        self
    }

    /// The version, which determines the list of attacks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether the settings are the published ones of the version, so that the result is comparable with published
    /// results. The threat models and the seed may differ.
    ///
    /// ```
    /// use twins_attack::{AutoAttackConfig, Norm, ThreatModel, Version};
    /// let config = AutoAttackConfig::new(ThreatModel::new(Norm::Linf, 8.0 / 255.0)?, Version::Standard);
    /// assert!(config.clone().with_seed(3).is_published());
    /// assert!(!config.with_steps(10).is_published());
    /// # Ok::<(), twins_attack::AttackError>(())
    /// ```
    pub fn is_published(&self) -> bool {
        let published = Self::new(self.threat, self.version).with_seed(self.seed);
        Self { more_threats: self.more_threats.clone(), ..published } == *self
    }

    /// The threat models in their order.
    pub fn threats(&self) -> impl Iterator<Item = ThreatModel> + '_ {
        [self.threat].into_iter().chain(self.more_threats.iter().copied())
    }

    /// Sets the number of steps of APGD and FAB.
    pub fn with_steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the number of runs of APGD-CE, APGD-DLR and FAB. Square runs once.
    pub fn with_restarts(mut self, restarts: usize) -> Self {
        self.restarts = Some(restarts);
        self
    }

    /// Sets the number of classes that the targeted attacks aim at.
    pub fn with_targets(mut self, targets: usize) -> Self {
        self.targets = Some(targets);
        self
    }

    /// Sets the number of queries of Square.
    pub fn with_queries(mut self, queries: usize) -> Self {
        self.queries = queries;
        self
    }

    /// Sets the number of passes over which APGD averages gradients. FAB does not average.
    pub fn with_eot(mut self, eot: usize) -> Self {
        self.eot = eot;
        self
    }

    /// Sets the number of forward passes that decide whether a claimed adversarial example counts. It counts if more
    /// than half of them misclassify it.
    pub fn with_fresh_draws(mut self, fresh_draws: usize) -> Self {
        self.fresh_draws = fresh_draws;
        self
    }

    /// Sets the seed of all random draws.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Checks the settings.
    pub(in crate::evaluation) fn check(&self) -> Result<(), AttackError> {
        for (place, threat) in self.threats().enumerate() {
            check_norm("AutoAttack", threat.norm(), &[Norm::Linf, Norm::L2, Norm::L1])?;
            if threat.epsilon() == 0.0 {
                return Err(SettingError::ZeroEpsilon.into());
            }
            if self.threats().take(place).any(|earlier| earlier == threat) {
                return Err(SettingError::DuplicateThreat { threat }.into());
            }
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
                return Err(SettingError::ZeroSteps { attack: "AutoAttack", what }.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::norms::norm::Norm;

    #[test]
    fn wrong_settings_are_named() {
        let threat = |epsilon| ThreatModel::new(Norm::Linf, epsilon).unwrap();
        let standard = |epsilon| AutoAttackConfig::new(threat(epsilon), Version::Standard);
        assert!(matches!(standard(0.0).check(), Err(AttackError::Setting(SettingError::ZeroEpsilon))));
        assert!(standard(0.1).with_queries(0).check().unwrap_err().to_string().contains("0 queries"));
        let text =
            standard(0.1).with_threats(vec![threat(0.1), threat(0.2), threat(0.1)]).check().unwrap_err();
        assert!(text.to_string().contains("Linf 0.1 twice"), "{text}");
        assert!(matches!(
            standard(0.1).with_epsilons(&[0.1, 2.0]),
            Err(AttackError::Setting(SettingError::LinfEpsilon { .. }))
        ));
    }

    #[test]
    fn epsilons_are_sorted_and_one_is_written_as_before() {
        let config = AutoAttackConfig::new(ThreatModel::new(Norm::L2, 1.0).unwrap(), Version::Standard);
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(json["threat"]["norm"], "l2");
        assert!(json.get("more_threats").is_none(), "{json}");
        let curve = config.with_epsilons(&[0.5, 0.25]).unwrap();
        let epsilons: Vec<f32> = curve.threats().map(|threat| threat.epsilon()).collect();
        assert_eq!(epsilons, [0.25, 0.5]);
        let text = serde_json::to_string(&curve).unwrap();
        assert_eq!(serde_json::from_str::<AutoAttackConfig>(&text).unwrap(), curve);
    }
}
