use std::sync::Arc;

/// A message to the user while an experiment runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Progress or a result, on one line.
    Progress(String),
    /// A warning, on one line.
    Warning(String),
}

/// Receives the notices of an experiment. [`silent`] discards them.
pub type Notify = Arc<dyn Fn(Notice) + Send + Sync>;

/// Discards every notice.
pub fn silent() -> Notify {
    Arc::new(|_| ())
}
