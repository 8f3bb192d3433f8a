use std::process::exit;

use burn_twins::DeviceChoice;
use burn_twins::experiment::{ServerWatch, watch_servers};
use twins_files::escaped;

use super::output::note;

/// Until the result is dropped, ends the process with exit status 1 and an error if the server of a device hangs, because the command would
/// wait for it without end. Checkpoints and journals are written atomically, so the command can be resumed.
pub fn end_if_lost(devices: &[DeviceChoice]) -> ServerWatch {
    watch_servers(devices, |error| {
        // `eprintln!` would panic if standard error is a closed pipe or on a full disk, and the process would not end.
        note!("error: {}", escaped(&error.to_string()));
        exit(1);
    })
}
