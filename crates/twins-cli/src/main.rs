//! See the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    twins_cli::twins()
}
