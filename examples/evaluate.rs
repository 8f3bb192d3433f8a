//! Measures the clean accuracy of a classifier, and its robust accuracy under AutoAttack or any list of attacks.
//! This is the command `twins evaluate`.
//!
//! ```sh
//! cargo run --release --example evaluate -- --weights mnist_pgd_robust.pth --arch mnist-cnn \
//!     --data mnist:DIR --limit first:1000 --attack autoattack --epsilon 0.3 --json report.json
//! ```

fn main() -> std::process::ExitCode {
    twins_cli::evaluate()
}
