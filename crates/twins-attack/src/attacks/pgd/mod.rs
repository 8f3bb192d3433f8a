//! Projected gradient descent and its relatives.

pub(crate) mod attack;
pub(crate) mod config;
pub(crate) mod perturb;
