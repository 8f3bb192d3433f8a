//! Decoupled direction and norm: searches for small L2 perturbations.

pub use attack::Ddn;
pub use config::DdnConfig;

use super::registry::{RegisteredAttack, Setting};

pub(crate) mod attack;
pub(crate) mod config;
mod sphere;

pub(super) const REGISTERED: &[RegisteredAttack] = &[RegisteredAttack {
    name: "ddn",
    summary: "decoupled direction and norm: the nearest adversarial example in L2",
    norms: Ddn::NORMS,
    settings: &[Setting::Steps],
    make: |settings| {
        let config = DdnConfig::new(settings.threat).with_seed(settings.seed);
        Ok(Box::new(settings.steps.into_iter().fold(config, DdnConfig::with_steps).build()?))
    },
}];
