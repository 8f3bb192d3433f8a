//! Compares methods and controls over several seeds. This is the command `twins study`, the main use of this
//! library.
//!
//! ```sh
//! cargo run --release --example study -- examples/studies/digits.toml --out runs/digits
//! ```

fn main() -> std::process::ExitCode {
    twins_cli::study()
}
