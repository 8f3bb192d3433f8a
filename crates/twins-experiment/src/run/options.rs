use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use twins_report::command_line;
use twins_train::ExistingRun;

use super::RunDirectory;
use crate::notice::{Notify, silent};

/// Options for running an experiment.
///
/// | setting | default | purpose |
/// |---|---|---|
/// | `existing` | [`ExistingRun::Refuse`] | how an existing run in the directory is handled |
/// | `replaced` | none | other runs, which are deleted before the training |
/// | `outdated` | none | files with results of an earlier run, which are deleted when the training begins |
/// | `stop` | never | flag that ends the training after the current step, with the state saved, or the measurement after it |
/// | `notify` | discards notices | receiver of notices about progress and results |
/// | `name` | the method's | name of the run in the record and the report |
/// | `command` | the process's command line | command line in the record |
/// | `report` | `report.html` in the run's directory | the report that is written after every epoch, and the runs in it |
#[derive(Clone)]
pub struct RunOptions {
    pub(crate) existing: ExistingRun,
    pub(crate) replaced: Vec<RunDirectory>,
    pub(crate) outdated: Vec<PathBuf>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) notify: Notify,
    pub(crate) name: Option<String>,
    pub(crate) command: String,
    pub(crate) report: Option<SharedReport>,
}

/// A report that several runs share.
#[derive(Clone, Debug)]
pub(crate) struct SharedReport {
    pub(crate) path: PathBuf,
    pub(crate) runs: Vec<PathBuf>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            existing: ExistingRun::Refuse,
            replaced: Vec::new(),
            outdated: Vec::new(),
            stop: Arc::default(),
            notify: silent(),
            name: None,
            command: command_line(std::env::args_os()),
            report: None,
        }
    }
}

impl RunOptions {
    /// Creates the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how an existing run in the directory is handled.
    #[must_use]
    pub fn with_existing(mut self, existing: ExistingRun) -> Self {
        self.existing = existing;
        self
    }

    /// Sets other runs that this one replaces. They are deleted after data and weights have been read, before the training.
    #[must_use]
    pub fn with_replaced(mut self, runs: Vec<RunDirectory>) -> Self {
        self.replaced = runs;
        self
    }

    /// Sets files with results of an earlier run, such as a summary that the caller writes at the end. They are deleted when the training
    /// begins, so that they do not pass for results of this run if it stops early. A run that has finished is not trained again, and
    /// deletes nothing.
    #[must_use]
    pub fn with_outdated(mut self, files: Vec<PathBuf>) -> Self {
        self.outdated = files;
        self
    }

    /// Sets the flag that ends the training or the measurement, for example from a Ctrl-C handler.
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

    /// Sets the name of the run in the record and the report.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the command line in the record.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = command.into();
        self
    }

    /// Writes one report of several runs, including this one, after every epoch.
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
