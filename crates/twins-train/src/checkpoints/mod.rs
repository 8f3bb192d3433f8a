//! What a run leaves on the disk, and how it is resumed from there.

mod checkpoint;
mod run_directory;
mod state;

pub(crate) use checkpoint::Checkpoint;
pub use run_directory::ExistingRun;
pub(crate) use run_directory::RunDirectory;
pub(crate) use state::State;
pub use state::{Best, BestSource};
