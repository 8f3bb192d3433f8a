//! Serves this machine's devices to programs on other machines, which name them as their `--device`: the command
//! `twins serve`. See docs/remote.md.
//!
//! ```sh
//! cargo run --release --features remote --example serve -- --device cpu
//! ```

fn main() -> std::process::ExitCode {
    twins_cli::serve()
}
