use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{Phase, Shard};
use crate::notice::{Notify, silent};

/// How a study is run.
///
/// | setting | default | purpose |
/// |---|---|---|
/// | `shard` | the whole study | the part of the jobs that is done |
/// | `phase` | [`Phase::All`] | whether trials, runs or both are done |
/// | `stop` | never | ends the training in progress after the step during which it becomes true, with the state saved |
/// | `notify` | discards them | receives what is done and measured |
/// | `command` | the process's command line | what the records say made the runs |
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
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the part of the jobs that is done.
    #[must_use]
    pub fn with_shard(mut self, shard: Shard) -> Self {
        self.shard = shard;
        self
    }

    /// Sets whether trials, runs or both are done.
    #[must_use]
    pub fn with_phase(mut self, phase: Phase) -> Self {
        self.phase = phase;
        self
    }

    /// Sets the flag that ends the study: what a handler of Ctrl-C raises.
    #[must_use]
    pub fn with_stop_flag(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// Sets what receives the notices.
    #[must_use]
    pub fn with_notify(mut self, notify: Notify) -> Self {
        self.notify = notify;
        self
    }

    /// Sets the command line that the records say made the runs.
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
