//! Runs an experiment: its directory, training, evaluation and record.

mod directory;
mod frozen_wing;
mod held_out;
mod identity;
mod measure;
mod memory;
mod options;
mod outcome;
mod runner;

pub use directory::RunDirectory;
#[cfg(any(test, feature = "schema"))]
pub(crate) use identity::Identity;
pub(crate) use identity::collect_differences;
pub use identity::{ImageCounts, ResolvedInputs};
pub use options::RunOptions;
pub use outcome::Outcome;
