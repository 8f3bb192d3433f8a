//! Projected gradient descent and its relatives.

mod config;
mod perturb;
mod search;

pub use config::{PgdConfig, Start};
pub use search::Pgd;
