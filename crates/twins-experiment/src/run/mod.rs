//! Runs an experiment: its directory, training, measurement and record.

mod directory;
mod identity;
mod measure;
mod memory;
mod options;
mod outcome;
mod runner;

pub use directory::RunDirectory;
pub use identity::{ImageCounts, ResolvedInputs};
pub use options::RunOptions;
pub use outcome::Outcome;
