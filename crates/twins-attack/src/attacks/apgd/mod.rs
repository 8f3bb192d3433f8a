//! Auto-PGD: projected gradient descent that sets its own step size.

pub use attack::Apgd;
pub use config::{ApgdConfig, L1Phases};

use super::registry::{AttackSettings, RegisteredAttack, Setting};
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::losses::loss::Loss;

pub(crate) mod attack;
pub(crate) mod config;
mod schedule;

const UNTARGETED: &[Setting] = &[Setting::Steps, Setting::Restarts, Setting::Eot];
const TARGETED: &[Setting] = &[Setting::Steps, Setting::Restarts, Setting::Targets, Setting::Eot];

pub(super) const REGISTERED: &[RegisteredAttack] = &[
    RegisteredAttack {
        name: "apgd-ce",
        summary: "Auto-PGD on the cross-entropy",
        norms: Apgd::NORMS,
        settings: UNTARGETED,
        make: |settings| Ok(Box::new(common(settings).build()?)),
    },
    RegisteredAttack {
        name: "apgd-dlr",
        summary: "Auto-PGD on the difference of logits ratio",
        norms: Apgd::NORMS,
        settings: UNTARGETED,
        make: |settings| Ok(Box::new(common(settings).with_loss(Loss::Dlr).build()?)),
    },
    RegisteredAttack {
        name: "apgd-margin",
        summary: "Auto-PGD on the difference of logits",
        norms: Apgd::NORMS,
        settings: UNTARGETED,
        make: |settings| Ok(Box::new(common(settings).with_loss(Loss::Margin).build()?)),
    },
    RegisteredAttack {
        name: "apgd-pma",
        summary: "Auto-PGD on the difference of probabilities",
        norms: Apgd::NORMS,
        settings: UNTARGETED,
        make: |settings| Ok(Box::new(common(settings).with_loss(Loss::ProbabilityMargin).build()?)),
    },
    RegisteredAttack {
        name: "apgd-t",
        summary: "Auto-PGD on the targeted difference of logits ratio, towards each of 9 classes",
        norms: Apgd::NORMS,
        settings: TARGETED,
        make: |settings| Ok(Box::new(targeted(settings, Loss::Dlr)?)),
    },
    RegisteredAttack {
        name: "apgd-t-malt",
        summary: "the same towards 9 classes that MALT chooses by the gradients at the clean image",
        norms: Apgd::NORMS,
        settings: TARGETED,
        make: |settings| {
            let targets = Targets::malt_of(settings.targets.unwrap_or(Targets::PUBLISHED));
            Ok(Box::new(common(settings).with_loss(Loss::Dlr).with_targets(targets).build()?))
        },
    },
    RegisteredAttack {
        name: "apgd-t-pma",
        summary: "Auto-PGD on the targeted difference of probabilities, towards each of 9 classes",
        norms: Apgd::NORMS,
        settings: TARGETED,
        make: |settings| Ok(Box::new(targeted(settings, Loss::ProbabilityMargin)?)),
    },
];

fn common(settings: &AttackSettings) -> ApgdConfig {
    let config = ApgdConfig::new(settings.threat).with_seed(settings.seed);
    let config = config.with_restarts(settings.restarts.unwrap_or(1)).with_eot(settings.eot.unwrap_or(1));
    settings.steps.into_iter().fold(config, ApgdConfig::with_steps)
}

fn targeted(settings: &AttackSettings, loss: Loss) -> Result<Apgd, AttackError> {
    let targets = Targets::Top(settings.targets.unwrap_or(Targets::PUBLISHED));
    common(settings).with_loss(loss).with_targets(targets).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::norms::norm::Norm;
    use crate::norms::threat_model::ThreatModel;

    #[test]
    fn attacks_are_registered_under_their_names() {
        let settings = AttackSettings::new(ThreatModel::new(Norm::L2, 0.5).unwrap());
        for registered in REGISTERED {
            assert_eq!(registered.build(&settings).unwrap().name(), registered.name());
        }
    }
}
