//! Serves the devices of this machine to programs on other machines, which select them with `--device`. This is
//! the command `twins serve`. See docs/remote.md.
//!
//! ```sh
//! cargo run --release --features remote --example serve -- --device cpu
//! ```

fn main() -> std::process::ExitCode {
    twins_cli::serve()
}
