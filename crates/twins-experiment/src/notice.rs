use std::sync::Arc;

/// Something to tell the user while an experiment runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// What is done, or was measured: one line.
    Progress(String),
    /// What deserves attention: one line.
    Warning(String),
}

/// Receives the notices of an experiment. [`silent`] discards them.
pub type Notify = Arc<dyn Fn(Notice) + Send + Sync>;

/// Discards every notice.
pub fn silent() -> Notify {
    Arc::new(|_| ())
}
