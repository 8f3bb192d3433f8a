//! What several command lines have in common.

mod compute;
mod images;
mod model;
pub mod progress;
mod settings;

pub use compute::ComputeOptions;
pub use images::ImageOptions;
pub use model::ModelOptions;
pub use settings::OptionSettings;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn_twins::experiment::{Notice, Notify};
use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// The outcome of a command: any library's error, reported on one line.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Raises a flag on the first Ctrl-C, so that a training ends after its step with the state saved. The second one ends the process:
/// checkpoints are written atomically.
pub fn stop_on_interrupt(stop: &Arc<AtomicBool>) -> std::io::Result<()> {
    flag::register_conditional_shutdown(SIGINT, 130, stop.clone())?;
    flag::register(SIGINT, stop.clone())?;
    Ok(())
}

/// Prints progress to the standard output and warnings to the standard error output.
pub fn printing() -> Notify {
    Arc::new(|notice| match notice {
        Notice::Progress(text) => println!("{text}"),
        Notice::Warning(text) => eprintln!("warning: {text}"),
    })
}
