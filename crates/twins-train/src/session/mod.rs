//! One training from its first step to its last: the trainer, its epochs, and resumption.

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
