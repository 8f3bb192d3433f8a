use std::time::Duration;

use super::ProgressDisplay;

/// Stands in for the bar without the feature `progress`: it draws nothing.
pub(super) struct Bar;

impl Bar {
    pub(super) fn start(_display: ProgressDisplay, _prefix: String, _steps: u64, _done: u64) -> Self {
        Self
    }

    pub(super) fn advance(&self, _summary: &str, _later_epochs: Duration) {}

    pub(super) fn show(&self, _message: &str) {}

    pub(super) fn suspended(&self, print: impl FnOnce()) {
        print();
    }

    pub(super) fn finish(self) {}
}
