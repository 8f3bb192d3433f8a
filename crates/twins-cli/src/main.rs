//! The program `twins`; the library of this crate documents it.

use std::process::ExitCode;

fn main() -> ExitCode {
    twins_cli::twins()
}
