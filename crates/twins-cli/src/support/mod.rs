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

use burn_twins::experiment::{Notice, Notify};
use std::sync::Arc;

/// The outcome of a command: any library's error, reported on one line.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Prints progress to the standard output and warnings to the standard error output.
pub fn printing() -> Notify {
    Arc::new(|notice| match notice {
        Notice::Progress(text) => println!("{text}"),
        Notice::Warning(text) => eprintln!("warning: {text}"),
    })
}
