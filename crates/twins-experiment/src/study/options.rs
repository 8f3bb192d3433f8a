use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{Phase, Shard};
use crate::notice::{Notify, silent};

/// Options for running a study.
///
/// | setting | default | purpose |
/// |---|---|---|
/// | `shard` | the whole study | part of the jobs to run |
/// | `phase` | [`Phase::All`] | whether to run trials, runs or both |
/// | `stop` | never | flag that ends the current training after the current step, with the state saved, or the measurement after it |
/// | `notify` | discards notices | receiver of notices about progress and results |
/// | `command` | the process's command line | command line in the records of the runs |
#[derive(Clone)]
pub struct StudyOptions {
    pub(super) shard: Shard,
    pub(super) phase: Phase,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) notify: Notify,
    pub(super) command: Option<String>,
}

impl Default for StudyOptions {
    fn default() -> Self {
        Self { shard: Shard::WHOLE, phase: Phase::All, stop: Arc::default(), notify: silent(), command: None }
    }
}

impl StudyOptions {
    /// Creates the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the part of the jobs to run.
    #[must_use]
    pub fn with_shard(mut self, shard: Shard) -> Self {
        self.shard = shard;
        self
    }

    /// Sets whether to run trials, runs or both.
    #[must_use]
    pub fn with_phase(mut self, phase: Phase) -> Self {
        self.phase = phase;
        self
    }

    /// Sets the flag that ends the study, for example from a Ctrl-C handler.
    #[must_use]
    pub fn with_stop_flag(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// Sets the receiver of the notices.
    #[must_use]
    pub fn with_notify(mut self, notify: Notify) -> Self {
        self.notify = notify;
        self
    }

    /// Sets the command line in the records of the runs.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }
}

impl fmt::Debug for StudyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StudyOptions")
            .field("shard", &self.shard)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
