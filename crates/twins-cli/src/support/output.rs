//! Printing and writing that survive a full disk and a closed pipe, for which `println!` panics.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::OnceLock;

use super::Outcome;

/// The first failure to print to standard output. The work of the command continues, and [`finish`] reports the failure.
static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Prints a line to standard output.
macro_rules! say {
    ($($part:tt)*) => {
        $crate::support::output::print(format_args!("{}\n", format_args!($($part)*)))
    };
}

/// Prints a line to standard error.
macro_rules! note {
    ($($part:tt)*) => {
        $crate::support::output::print_note(format_args!("{}\n", format_args!($($part)*)))
    };
}

pub(crate) use {note, say};

/// Prints a text to standard output.
pub fn print(text: Arguments<'_>) {
    if let Err(error) = io::stdout().lock().write_fmt(text) {
        // Only the first failure counts.
        let _ = FAILURE.set(error);
    }
}

/// Prints a text to standard error. If that fails, the failure cannot be reported anywhere.
pub fn print_note(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// Reports a failure to print to standard output. A closed pipe is none: the reader, such as `head`, has what it wanted.
pub fn finish() -> Outcome {
    match FAILURE.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!(
            "cannot write to the standard output: {error}; the files of the command are complete"
        )
        .into()),
        _ => Ok(()),
    }
}

/// Writes a file that readers always find complete.
pub fn write(path: &Path, text: &str) -> Outcome {
    twins_files::write_atomic(path, text.as_bytes()).map_err(|error| {
        let path = path.display();
        format!("cannot write {path}: {error}; check that the directory exists, is writable and has space")
            .into()
    })
}
