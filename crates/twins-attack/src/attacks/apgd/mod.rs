//! Auto-PGD: projected gradient descent that sets its own step size.

pub(crate) mod attack;
pub(crate) mod config;
mod schedule;
