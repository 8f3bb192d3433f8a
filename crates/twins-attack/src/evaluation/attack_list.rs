use std::sync::Arc;

use super::autoattack::config::AutoAttackConfig;
use super::autoattack::version::Version;
use super::threats::Threats;
use super::warning::Warning;
use crate::engine::attack::Attack;
use crate::error::AttackError;

/// The attacks in their order, and warnings about deviations from the published settings.
type Built = (Arc<[Box<dyn Attack>]>, Vec<Warning>);

/// The attacks of an evaluation.
#[derive(Debug)]
pub(super) enum AttackList {
    Given(Arc<[Box<dyn Attack>]>),
    /// AutoAttack, whose attacks depend on the number of classes.
    AutoAttack(AutoAttackConfig),
}

impl AttackList {
    /// The attacks on a model with this many classes.
    pub(super) fn build(&self, classes: usize) -> Result<Built, AttackError> {
        let (attacks, mut warnings): Built = match self {
            Self::Given(attacks) => (attacks.clone(), Vec::new()),
            Self::AutoAttack(config) => {
                let (attacks, warnings) = config.attacks(classes)?;
                (attacks.into(), warnings)
            }
        };
        for attack in attacks.iter() {
            let (wanted, targets) = (attack.targets().wanted(), attack.targets().runs(classes));
            let warning = Warning::FewerTargets { attack: attack.name(), wanted, targets };
            if targets < wanted && !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        Ok((attacks, warnings))
    }

    pub(super) fn threats(&self) -> Threats {
        match self {
            Self::Given(attacks) => Threats::new(attacks.iter().map(|attack| attack.threat_model())),
            Self::AutoAttack(config) => Threats::new(config.threats()),
        }
    }

    /// The settings of AutoAttack, if the list is this preset.
    pub(super) fn autoattack(&self) -> Option<&AutoAttackConfig> {
        match self {
            Self::Given(_) => None,
            Self::AutoAttack(config) => Some(config),
        }
    }

    /// Whether the settings are for a randomised model.
    pub(super) fn expects_randomised(&self) -> bool {
        self.autoattack().is_some_and(|config| config.version == Version::Rand)
    }
}
