//! Code shared by the commands.

mod compute;
mod images;
mod lost_server;
mod model;
pub mod output;
pub mod progress;
mod settings;

pub use compute::ComputeOptions;
pub use images::ImageOptions;
pub use lost_server::end_if_lost;
pub use model::ModelOptions;
pub use settings::OptionSettings;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn_twins::experiment::{Notice, Notify};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use twins_files::one_line;

use output::{note, say};

/// The outcome of a command: any library's error, reported on one line.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Sets a flag on the first Ctrl-C or SIGTERM, so that the training finishes its step and saves its state. A second one ends the process at
/// once, which is safe because checkpoints are written atomically. Schedulers such as Slurm and Kubernetes send SIGTERM before they kill.
pub fn stop_on_interrupt(stop: &Arc<AtomicBool>) -> std::io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // The exit status of a process that the signal ends, as shells report it.
        flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())?;
        flag::register(signal, stop.clone())?;
    }
    Ok(())
}

/// Prints progress to standard output and warnings to standard error, each on one line.
pub fn printing() -> Notify {
    Arc::new(|notice| match notice {
        Notice::Progress(text) => say!("{}", one_line(&text)),
        Notice::Warning(text) => note!("warning: {}", one_line(&text)),
    })
}
