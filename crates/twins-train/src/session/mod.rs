//! One training run from its first to its last step: the trainer, epochs and resumption.

mod epoch_end;
mod epoch_start;
mod observers;
mod progress;
mod running;
mod saving;
mod scope;
mod trained;
mod trainer;
mod training_step;

pub use progress::ProgressDisplay;
pub use trained::{Ended, Trained};
pub use trainer::Trainer;
