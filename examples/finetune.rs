//! Fine-tunes an adversarially pre-trained classifier: the command `twins finetune`.
//!
//! Without arguments it runs the main job on the built-in data: a small net is pre-trained adversarially on letters and
//! fine-tuned on digits, once with adversarial training and once with TWINS-AT.
//!
//! ```sh
//! cargo run --release --example finetune
//! cargo run --release --example finetune -- --weights cifar_resnet20.th --arch resnet20 \
//!     --data folder:images --method twins-at --epochs 2 --out runs/images
//! ```

fn main() -> std::process::ExitCode {
    twins_cli::finetune()
}
