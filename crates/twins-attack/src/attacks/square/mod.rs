//! Square: score-based random search, which needs no gradients.

pub(crate) mod attack;
pub(crate) mod config;
mod pattern;
mod proposal;
