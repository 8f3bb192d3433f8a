//! What `finetune` and `train` have in common: options of a training, and running experiments one after the other.

mod options;
mod resume;
mod run;
pub mod set;

pub use options::TrainingOptions;
pub use run::{Job, Results};
