//! Square: score-based random search, which needs no gradients.

pub use attack::Square;
pub use config::{SquareConfig, SquareSchedule};

use super::registry::{RegisteredAttack, Setting};

pub(crate) mod attack;
pub(crate) mod config;
#[cfg(test)]
mod golden;
mod pattern;
mod repaint;
mod shift;
mod window;

pub(super) const REGISTERED: &[RegisteredAttack] = &[RegisteredAttack {
    name: "square",
    summary: "random search that looks at logits only: repaints one square after the other",
    norms: Square::NORMS,
    settings: &[Setting::Queries],
    make: |settings| {
        let config = SquareConfig::new(settings.threat).with_seed(settings.seed);
        let config = settings.queries.into_iter().fold(config, SquareConfig::with_queries);
        Ok(Box::new(config.build()?))
    },
}];
