//! Auto-PGD: projected gradient descent that sets its own step size.

mod config;
mod schedule;
mod search;

pub use config::{Apgd, ApgdConfig, L1Phases};
