#[cfg(feature = "progress")]
mod bar;
#[cfg(not(feature = "progress"))]
mod no_bar;

use std::io::{Write, stderr};
use std::time::Duration;

use crate::metrics::{EpochMetrics, EpochSums};

#[cfg(feature = "progress")]
use bar::Bar;
#[cfg(not(feature = "progress"))]
use no_bar::Bar;

/// Whether a progress bar is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressDisplay {
    /// Drawn on standard error if that is a terminal and the crate has its feature `progress`. Errors of observers are
    /// printed to standard error in any case.
    Auto,
    /// Never drawn; errors of observers are not printed either.
    Hidden,
}

/// The progress bar of one epoch. It shows the clean and robust validation accuracy after the previous epoch, the loss, the
/// training accuracy, the images per second, and the time left for later epochs and for this epoch.
pub(crate) struct EpochBar {
    bar: Bar,
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
        let validated = before.and_then(EpochMetrics::validation);
        let so_far = validated.map_or(String::new(), |[clean, robust]| {
            format!(", validation clean {:.1} %, robust {:.1} %", clean.percent(), robust.percent())
        });
        let prefix = format!("epoch {}/{epochs}{so_far}", epoch + 1);
        let bar = Bar::start(display, prefix, steps as u64, done as u64);
        Self { bar, display, epochs_left: (epochs - epoch - 1) as f64, steps }
    }

    pub(crate) fn advance(&self, sums: &EpochSums) {
        let summary = format!(
            "loss {:.4}, accuracy {:.1} %, {:.0} images/s",
            sums.mean_loss(),
            sums.accuracy().percent(),
            sums.samples as f64 / sums.seconds.max(1e-9),
        );
        self.bar.advance(&summary, self.later_epochs(sums));
    }

    /// The time that the later epochs take if their steps take as long as those so far. Skipped batches take time as well.
    fn later_epochs(&self, sums: &EpochSums) -> Duration {
        let per_step = sums.seconds / (sums.steps + sums.skipped).max(1) as f64;
        Duration::try_from_secs_f64(per_step * self.steps as f64 * self.epochs_left).unwrap_or(Duration::MAX)
    }

    pub(crate) fn validating(&self) {
        self.bar.show("validating,");
    }

    /// Prints lines to standard error, above the bar. They are also printed if standard error is no terminal.
    pub(crate) fn warn(&self, warnings: &[String]) {
        if self.display == ProgressDisplay::Auto && !warnings.is_empty() {
            // `eprintln!` would panic if standard error is a file on a full disk.
            self.bar.suspended(|| {
                for warning in warnings {
                    let _ = writeln!(stderr(), "{warning}");
                }
            });
        }
    }

    pub(crate) fn finish(self) {
        self.bar.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_of_a_training_without_an_end_is_shown() {
        let bar = EpochBar::start(ProgressDisplay::Hidden, 0, usize::MAX, 10, 0, None);
        bar.advance(&EpochSums { steps: 1, seconds: 60.0, ..EpochSums::default() });
        bar.finish();
    }

    #[test]
    fn skipped_batches_count_for_the_time_left() {
        let bar = EpochBar::start(ProgressDisplay::Hidden, 0, 3, 10, 0, None);
        let sums = EpochSums { steps: 2, skipped: 6, seconds: 16.0, ..EpochSums::default() };
        // Two epochs of ten batches, at two seconds for each.
        assert_eq!(bar.later_epochs(&sums), Duration::from_secs(40));
        bar.finish();
    }
}
