//! Fine-tunes an adversarially pre-trained classifier. This is the command `twins finetune`.
//!
//! ```sh
//! cargo run --release --example finetune -- --weights examples/studies/letters.safetensors
//! cargo run --release --example finetune -- --weights cifar_resnet20.th --arch resnet20 \
//!     --data folder:images --method twins-at --epochs 2 --out runs/images
//! ```

fn main() -> std::process::ExitCode {
    twins_cli::finetune()
}
