//! Compares methods and controls over several seeds: the command `twins study`. The main job is such a comparison.
//!
//! ```sh
//! cargo run --release --example study -- examples/studies/digits.toml --out runs/digits
//! ```

fn main() -> std::process::ExitCode {
    twins_cli::study()
}
