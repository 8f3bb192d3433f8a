//! Fast minimum norm: searches for small perturbations in any norm.

pub use attack::Fmn;
pub use config::{FmnConfig, L2Projection};

use super::registry::{RegisteredAttack, Setting};

pub(crate) mod attack;
pub(crate) mod config;
mod projection;
mod radius;

pub(super) const REGISTERED: &[RegisteredAttack] = &[RegisteredAttack {
    name: "fmn",
    summary: "fast minimum norm: the nearest adversarial example in L0, L1, L2 or Linf",
    norms: Fmn::NORMS,
    settings: &[Setting::Steps],
    make: |settings| {
        let config = FmnConfig::new(settings.threat);
        Ok(Box::new(settings.steps.into_iter().fold(config, FmnConfig::with_steps).build()?))
    },
}];
