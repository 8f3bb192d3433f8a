//! σ-zero: searches for sparse perturbations.

pub use attack::SigmaZero;
pub use config::SigmaZeroConfig;

use super::registry::{RegisteredAttack, Setting};

mod adam;
pub(crate) mod attack;
pub(crate) mod config;
#[cfg(test)]
mod golden;
mod sparsity;

pub(super) const REGISTERED: &[RegisteredAttack] = &[RegisteredAttack {
    name: "sigma-zero",
    summary: "σ-zero: an adversarial example with few changed values",
    norms: SigmaZero::NORMS,
    settings: &[Setting::Steps],
    make: |settings| {
        let config = SigmaZeroConfig::new(settings.threat);
        Ok(Box::new(settings.steps.into_iter().fold(config, SigmaZeroConfig::with_steps).build()?))
    },
}];
