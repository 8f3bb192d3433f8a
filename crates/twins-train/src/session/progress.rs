use std::io::{Write, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::metrics::{EpochMetrics, EpochSums};

/// Whether a progress bar is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressDisplay {
    /// Drawn on standard error if that is a terminal. Errors of observers are printed to standard error even if it is
    /// no terminal.
    Auto,
    /// Never drawn; errors of observers are not printed either.
    Hidden,
}

/// The progress bar of one epoch. It shows the clean and robust validation accuracy after the previous epoch, the loss, the
/// training accuracy, the images per second, and the time left for later epochs and for this epoch.
pub(crate) struct EpochBar {
    bar: ProgressBar,
    display: ProgressDisplay,
    epochs_left: f64,
    steps: usize,
}

impl EpochBar {
    pub(crate) fn start(
        display: ProgressDisplay,
        epoch: usize,
        epochs: usize,
        steps: usize,
        done: usize,
        before: Option<&EpochMetrics>,
    ) -> Self {
        let target = match display {
            ProgressDisplay::Auto => ProgressDrawTarget::stderr(),
            ProgressDisplay::Hidden => ProgressDrawTarget::hidden(),
        };
        let validated = before.and_then(EpochMetrics::validation);
        let so_far = validated.map_or(String::new(), |[clean, robust]| {
            format!(", validation clean {:.1} %, robust {:.1} %", clean.percent(), robust.percent())
        });
        let bar = ProgressBar::with_draw_target(Some(steps as u64), target)
            .with_style(
                ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg} {eta} left")
                    .expect("the template is fixed"),
            )
            .with_prefix(format!("epoch {}/{epochs}{so_far}", epoch + 1))
            .with_position(done as u64);
        bar.reset_eta();
        Self { bar, display, epochs_left: (epochs - epoch - 1) as f64, steps }
    }

    pub(crate) fn advance(&self, sums: &EpochSums) {
        let per_step = sums.seconds / sums.steps.max(1) as f64;
        let after = Duration::from_secs_f64(per_step * self.steps as f64 * self.epochs_left);
        self.bar.set_message(format!(
            "loss {:.4}, accuracy {:.1} %, {:.0} images/s, later epochs {}, this one",
            sums.mean_loss(),
            sums.accuracy().percent(),
            sums.samples as f64 / sums.seconds.max(1e-9),
            indicatif::HumanDuration(after),
        ));
        self.bar.inc(1);
    }

    pub(crate) fn validating(&self) {
        self.bar.set_message("validating,");
    }

    /// Prints lines to standard error, above the bar. They are also printed if standard error is no terminal.
    pub(crate) fn warn(&self, warnings: &[String]) {
        if self.display == ProgressDisplay::Auto && !warnings.is_empty() {
            // `eprintln!` would panic if standard error is a file on a full disk.
            self.bar.suspend(|| {
                for warning in warnings {
                    let _ = writeln!(stderr(), "{warning}");
                }
            });
        }
    }

    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
