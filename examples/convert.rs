//! Reads a PyTorch checkpoint, lists where each entry was loaded, and saves it as a model file or for PyTorch.
//! This is the command `twins convert`.
//!
//! ```sh
//! cargo run --release --example convert -- cifar_resnet20.th --arch resnet20 --out resnet20.safetensors
//! ```

fn main() -> std::process::ExitCode {
    twins_cli::convert()
}
