//! Reads a checkpoint of PyTorch, lists what went where, and saves it as a model file or for PyTorch: the command
//! `twins convert`.
//!
//! ```sh
//! cargo run --release --example convert -- cifar_resnet20.th --arch resnet20 --out resnet20.safetensors
//! ```

fn main() -> std::process::ExitCode {
    twins_cli::convert()
}
