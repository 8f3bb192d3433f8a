//! Square: score-based random search, which needs no gradients.

mod config;
mod pattern;
mod proposal;
mod search;

pub use config::{Square, SquareConfig, SquareSchedule};
