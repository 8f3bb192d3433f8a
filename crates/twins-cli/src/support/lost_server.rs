use std::process::exit;

use burn_twins::DeviceChoice;
use burn_twins::experiment::{ServerWatch, watch_servers};

/// Until the result is dropped, ends the process with exit status 1 and an error if the server of a device hangs, because the command would
/// wait for it without end. Checkpoints and journals are written atomically, so the command can be resumed.
pub fn end_if_lost(devices: &[DeviceChoice]) -> ServerWatch {
    watch_servers(devices, |error| {
        eprintln!("error: {error}");
        exit(1);
    })
}
