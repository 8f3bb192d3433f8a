//! The lock of an evaluation that writes a report.

use std::path::Path;

use twins_files::{LockError, ProcessLock};

/// Locks a report until the value is dropped, which is also when the file of the lock is removed. The journal has a lock as well, but only
/// while attacks run, and without the id of the process.
pub fn lock(report: &Path) -> Result<ProcessLock, String> {
    let path = report.with_extension("lock");
    ProcessLock::acquire_temporary(&path).map_err(|error| match error {
        LockError::Held { .. } => {
            format!("the report {} is {error}; wait for it, or give another --json", report.display())
        }
        LockError::Io(source) => {
            let path = path.display();
            format!(
                "cannot create {path}: {source}; check that the directory exists, is writable and has space"
            )
        }
    })
}
