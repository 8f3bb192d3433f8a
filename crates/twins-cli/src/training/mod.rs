//! What `finetune` and `train` have in common: options of a training, and running it.

mod options;
mod resume;
mod run;
pub mod set;

pub use options::TrainingOptions;
#[cfg(test)]
pub use run::JsonReport;
pub use run::{run, run_directory};
