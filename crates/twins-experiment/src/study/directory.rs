use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::identity::StudyIdentity;
use super::report::RunOfArm;
use super::{StudyError, StudyResults, report};
use crate::error::ExperimentError;

const REPORT: &str = "study.html";
const LOCK: &str = "study.lock";

/// The directory of a study, which several processes may share.
pub(super) struct StudyDirectory {
    path: PathBuf,
}

impl StudyDirectory {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Records the study in the directory, or checks that the directory belongs to the same study.
    pub(super) fn begin(&self, identity: &StudyIdentity) -> Result<(), ExperimentError> {
        fs::create_dir_all(&self.path).map_err(ExperimentError::file("create", &self.path))?;
        let _lock = self.lock()?;
        let recorded = StudyIdentity::read(&self.path)?;
        if let Some(recorded) = &recorded {
            let differences = identity.differences_of_resumed(recorded);
            if !differences.is_empty() {
                return Err(StudyError::OtherStudy { directory: self.path.clone(), differences }.into());
            }
        }
        match recorded.as_ref() == Some(identity) {
            true => Ok(()),
            false => identity.write(&self.path),
        }
    }

    /// Writes the results and the report. The caller must hold the lock.
    pub(super) fn write_results(
        &self,
        results: &StudyResults,
        runs: &[RunOfArm],
    ) -> Result<(), ExperimentError> {
        results.write(&self.path.join(StudyResults::FILE))?;
        report::write(&self.path.join(REPORT), results, runs, &[])
    }

    /// Waits until no other process writes, and prevents other processes from writing until the file is dropped.
    pub(super) fn lock(&self) -> Result<File, ExperimentError> {
        let path = self.path.join(LOCK);
        let file = File::create(&path).map_err(ExperimentError::file("create", &path))?;
        // The file system does not support locks, so the process continues without one.
        let _ = file.lock();
        Ok(file)
    }
}

impl StudyResults {
    /// The name of the file in the directory of a study.
    pub const FILE: &str = "study-results.json";

    /// Writes the results as JSON.
    ///
    /// # Errors
    ///
    /// [`ExperimentError::File`].
    pub fn write(&self, path: &Path) -> Result<(), ExperimentError> {
        let text = serde_json::to_string_pretty(self).expect("results are plain data") + "\n";
        twins_files::write_atomic(path, text.as_bytes()).map_err(ExperimentError::file("write", path))
    }
}
