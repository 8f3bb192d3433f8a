//! What the root tests share: the devices to run on and the folder of real weights and images.
#![allow(dead_code)] // The benchmarks use a part of it.

#[cfg(feature = "remote")]
pub mod server;

use std::path::PathBuf;

use burn::tensor::Device;
use burn_twins::DeviceChoice;

/// The devices named by `TWINS_DEVICES` (comma-separated); all that are compiled in and present where it is unset.
///
/// A device that is named and cannot be opened fails the test: a suite that silently skips proves nothing.
pub fn devices() -> Vec<(DeviceChoice, Device)> {
    let choices = match std::env::var("TWINS_DEVICES") {
        Ok(names) => {
            let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.map(|name| name.parse().expect("TWINS_DEVICES")).collect()
        }
        Err(_) => DeviceChoice::present(),
    };
    let open = |choice: DeviceChoice| {
        let device = choice.open().expect("TWINS_DEVICES");
        (choice, device)
    };
    choices.into_iter().map(open).collect()
}

/// A file below `TWINS_SHARED`, the folder of real weights and images; `None`, with a word on standard error,
/// where the variable is unset.
///
/// # Panics
///
/// If the variable is set and the file is missing.
pub fn shared(file: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("TWINS_SHARED") else {
        eprintln!("skipped: TWINS_SHARED is not set, so {file} cannot be read");
        return None;
    };
    let path = PathBuf::from(root).join(file);
    assert!(path.exists(), "TWINS_SHARED is set, but {} does not exist", path.display());
    Some(path)
}
