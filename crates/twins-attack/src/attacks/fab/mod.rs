//! Fast adaptive boundary: searches for the nearest point beyond the decision boundary.

pub use attack::Fab;
pub use config::{FabCandidates, FabConfig};

use super::registry::{AttackSettings, RegisteredAttack, Setting};
use crate::engine::targets::Targets;

pub(crate) mod attack;
pub(crate) mod config;
mod hyperplane;

pub(super) const REGISTERED: &[RegisteredAttack] = &[
    RegisteredAttack {
        name: "fab",
        summary: "fast adaptive boundary: steps onto the nearest linearised decision boundary",
        norms: Fab::NORMS,
        settings: &[Setting::Steps, Setting::Restarts],
        make: |settings| Ok(Box::new(common(settings).build()?)),
    },
    RegisteredAttack {
        name: "fab-t",
        summary: "fast adaptive boundary towards each of 9 classes",
        norms: Fab::NORMS,
        settings: &[Setting::Steps, Setting::Restarts, Setting::Targets],
        make: |settings| {
            let targets = Targets::Top(settings.targets.unwrap_or(Targets::PUBLISHED));
            Ok(Box::new(common(settings).with_targets(targets).build()?))
        },
    },
];

fn common(settings: &AttackSettings) -> FabConfig {
    let config = FabConfig::new(settings.threat).with_seed(settings.seed);
    let config = config.with_restarts(settings.restarts.unwrap_or(1));
    settings.steps.into_iter().fold(config, FabConfig::with_steps)
}
