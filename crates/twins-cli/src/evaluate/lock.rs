//! The lock of an evaluation that writes a report, and the names of its lock and its journal.

use std::path::{Path, PathBuf};

use twins_files::{LockError, ProcessLock};

/// Locks a report until the value is dropped, which is also when the file of the lock is removed. The journal has a lock as well, but only
/// while attacks run, and without the id of the process.
pub fn lock(report: &Path) -> Result<ProcessLock, String> {
    let path = beside(report, "lock");
    ProcessLock::acquire_temporary(&path).map_err(|error| match error {
        LockError::Held { .. } => {
            format!("the report {} is {error}; wait for it, or give another --json", report.display())
        }
        LockError::OtherFile => {
            format!(
                "{} is no lock of an evaluation, and would be replaced; give another --json",
                path.display()
            )
        }
        LockError::Io(source) => {
            let path = path.display();
            format!(
                "cannot create {path}: {source}; check that the directory exists, is writable and has space"
            )
        }
    })
}

/// The name of a file beside a report: `report.lock` for `report.json`. Other names stay whole, because `linf-0.1` and `linf-0.2` are two
/// reports.
pub fn beside(report: &Path, extension: &str) -> PathBuf {
    if report.extension().is_some_and(|own| own == "json") {
        return report.with_extension(extension);
    }
    let mut name = report.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_two_names_have_two_locks() {
        for (report, expected) in [
            ("runs/report.json", "runs/report.lock"),
            ("runs/linf-0.1", "runs/linf-0.1.lock"),
            ("report", "report.lock"),
            ("report.txt", "report.txt.lock"),
        ] {
            assert_eq!(beside(Path::new(report), "lock"), Path::new(expected));
        }
    }
}
