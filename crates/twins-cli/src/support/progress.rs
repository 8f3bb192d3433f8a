//! The progress bar of an evaluation, shown on standard error if that is a terminal.

use std::ops::ControlFlow;
use std::time::Duration;

use burn_twins::attack::{Observer, Progress};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// A bar with the current attack, the robust accuracy so far and the remaining time.
pub struct EvaluationBar(ProgressBar);

impl Default for EvaluationBar {
    fn default() -> Self {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent} %, {msg}");
        Self(ProgressBar::new(1000).with_style(style.expect("the template is fixed")))
    }
}

impl EvaluationBar {
    pub fn finish(self) {
        self.0.finish_and_clear();
    }
}

impl Observer for EvaluationBar {
    fn progress(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        let Progress { attack, stage, finished, surviving, fraction, elapsed } = progress;
        self.0.set_prefix(format!("{attack} ({}/{})", stage.0 + 1, stage.1));
        self.0.set_position((fraction * 1000.0) as u64);
        // At the beginning, the fraction is 0 or the time too long for a duration.
        let left = Duration::try_from_secs_f64(elapsed * (1.0 - fraction) / fraction)
            .map_or_else(|_| "unknown time".to_owned(), |left| HumanDuration(left).to_string());
        self.0.set_message(format!(
            "{}/{} attacked, {} survive, robust accuracy so far {:.2} %, at most {left} left",
            finished.0,
            finished.1,
            surviving.0,
            100.0 * surviving.0 as f64 / surviving.1 as f64
        ));
        ControlFlow::Continue(())
    }
}
