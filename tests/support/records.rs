use std::fs::OpenOptions;
use std::io::Write;

use serde_json::Value;

/// Appends a measurement as one line of JSON to the file that the variable `TWINS_RECORDS` names; does nothing where it is unset.
///
/// # Panics
///
/// If the file cannot be written: a measurement that is lost would have to be repeated.
pub fn record(measurement: &Value) {
    let Some(path) = std::env::var_os("TWINS_RECORDS") else { return };
    let write = || {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        writeln!(file, "{measurement}")
    };
    write().unwrap_or_else(|error| panic!("TWINS_RECORDS, {}: {error}", path.display()));
}
