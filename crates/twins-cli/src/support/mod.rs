//! Code shared by the commands.

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
use twins_files::one_line;

/// The outcome of a command: any library's error, reported on one line.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Sets a flag on the first Ctrl-C, so that the training finishes its step and saves its state. A second Ctrl-C ends the process at once,
/// which is safe because checkpoints are written atomically.
pub fn stop_on_interrupt(stop: &Arc<AtomicBool>) -> std::io::Result<()> {
    flag::register_conditional_shutdown(SIGINT, 130, stop.clone())?;
    flag::register(SIGINT, stop.clone())?;
    Ok(())
}

/// Prints progress to standard output and warnings to standard error, each on one line.
pub fn printing() -> Notify {
    Arc::new(|notice| match notice {
        Notice::Progress(text) => println!("{}", one_line(&text)),
        Notice::Warning(text) => eprintln!("warning: {}", one_line(&text)),
    })
}
