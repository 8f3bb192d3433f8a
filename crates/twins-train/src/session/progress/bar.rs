use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::ProgressDisplay;

/// A bar on standard error.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn start(display: ProgressDisplay, prefix: String, steps: u64, done: u64) -> Self {
        let target = match display {
            ProgressDisplay::Auto => ProgressDrawTarget::stderr(),
            ProgressDisplay::Hidden => ProgressDrawTarget::hidden(),
        };
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg} {eta} left");
        let bar = ProgressBar::with_draw_target(Some(steps), target)
            .with_style(style.expect("the template is fixed"))
            .with_prefix(prefix)
            .with_position(done);
        bar.reset_eta();
        Self(bar)
    }

    pub(super) fn advance(&self, summary: &str, later_epochs: Duration) {
        self.show(&format!("{summary}, later epochs {}, this one", HumanDuration(later_epochs)));
        self.0.inc(1);
    }

    pub(super) fn show(&self, message: &str) {
        self.0.set_message(message.to_owned());
    }

    pub(super) fn suspended(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }

    pub(super) fn finish(self) {
        self.0.finish_and_clear();
    }
}
