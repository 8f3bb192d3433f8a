//! The files that a run writes, and how a run is resumed from them.

mod checkpoint;
#[cfg(test)]
mod hostile;
mod run_directory;
mod state;

pub(crate) use checkpoint::Checkpoint;
pub use run_directory::ExistingRun;
pub(crate) use run_directory::RunDirectory;
pub(crate) use state::State;
pub use state::{Best, BestSource};
