use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use twins_report::command_line;
use twins_train::ExistingRun;

use crate::notice::{Notify, silent};

/// How an experiment is run.
///
/// | setting | default | purpose |
/// |---|---|---|
/// | `existing` | [`ExistingRun::Refuse`] | what is done with a run that the directory holds |
/// | `stop` | never | ends the training after the step during which it becomes true, with the state saved |
/// | `notify` | discards them | receives what is done and measured |
/// | `name` | the method's | what the record and the report call the run |
/// | `command` | the process's command line | what the record says made the run |
/// | `report` | `report.html` in the run's directory | the report that is written after every epoch, and the runs in it |
#[derive(Clone)]
pub struct RunOptions {
    pub(crate) existing: ExistingRun,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) notify: Notify,
    pub(crate) name: Option<String>,
    pub(crate) command: String,
    pub(crate) report: Option<SharedReport>,
}

/// A report of several runs.
#[derive(Clone, Debug)]
pub(crate) struct SharedReport {
    pub(crate) path: PathBuf,
    pub(crate) runs: Vec<PathBuf>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            existing: ExistingRun::Refuse,
            stop: Arc::default(),
            notify: silent(),
            name: None,
            command: command_line(std::env::args_os()),
            report: None,
        }
    }
}

impl RunOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what is done with a run that the directory holds.
    #[must_use]
    pub fn with_existing(mut self, existing: ExistingRun) -> Self {
        self.existing = existing;
        self
    }

    /// Sets the flag that ends the training: what a handler of Ctrl-C raises.
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

    /// Sets what the record and the report call the run.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the command line that the record says made the run.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = command.into();
        self
    }

    /// Writes one report of several runs after every epoch, of which this run is one.
    #[must_use]
    pub fn with_report(mut self, path: impl Into<PathBuf>, runs: Vec<PathBuf>) -> Self {
        self.report = Some(SharedReport { path: path.into(), runs });
        self
    }
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("existing", &self.existing)
            .field("command", &self.command)
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}
