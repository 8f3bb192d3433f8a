//! Trains a classifier from random weights, with or without adversarial examples. This is the command
//! `twins train`.
//!
//! ```sh
//! cargo run --release --example train -- --config examples/studies/letters.toml --out runs/letters
//! cargo run --release --example train -- --arch resnet20 --data folder:images --method at --epochs 50 --lr 0.1
//! ```

fn main() -> std::process::ExitCode {
    twins_cli::train()
}
