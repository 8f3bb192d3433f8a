use std::path::{Path, PathBuf};
use std::{fs, io};

use twins_files::{LockError, ProcessLock};
use twins_report::{RunRecord, RunStatus};
use twins_train::ExistingRun;

use super::identity::Identity;
use crate::error::ExperimentError;

const IDENTITY: &str = "experiment.json";
const RESULT: &str = "result.json";
const REPORT: &str = "report.html";
const MODEL: &str = "model.safetensors";
const LOCK: &str = "lock";
/// The folder of the observers' files, and the prefixes of their names.
const LOG: &str = "log";
const LOG_FILES: [&str; 3] = ["steps.", "epochs.", "events.out.tfevents."];
/// The settings of the training, which are the first file that it writes.
const CONFIG: &str = "config.json";
/// All files of a run, in the order of deletion. The settings are deleted after the state, because a state without
/// settings could be resumed with any settings.
const FILES: [&str; 12] = [
    "last.safetensors",
    "previous.safetensors",
    "damaged.safetensors",
    "best.safetensors",
    MODEL,
    "metrics.jsonl",
    "metrics.csv",
    "steps.jsonl",
    REPORT,
    RESULT,
    CONFIG,
    IDENTITY,
];

/// The directory of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Creates the value for a directory, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the best model, for users.
    pub fn model(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// The folder of the logs with the values of every step and epoch.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// A file that shows that the directory holds a run. `experiment.json` alone does not, because the run may have
    /// stopped before its training.
    pub fn holds(&self) -> Option<&'static str> {
        [RESULT, CONFIG].into_iter().find(|file| self.path.join(file).exists())
    }

    /// Checks, before any long computation, that a run may be written to the directory.
    ///
    /// # Errors
    ///
    /// [`ExperimentError::RunExists`] if there is a run, and it may be neither resumed nor overwritten;
    /// [`ExperimentError::WeightsOfRun`] if overwriting would delete the initial weights of the training;
    /// [`ExperimentError::InUse`] if it would overwrite a run while a process runs it.
    pub fn check(&self, existing: ExistingRun, weights: Option<&Path>) -> Result<(), ExperimentError> {
        match (existing, self.holds()) {
            (ExistingRun::Refuse, Some(found)) => {
                Err(ExperimentError::RunExists { directory: self.path.clone(), found: found.to_owned() })
            }
            (ExistingRun::Overwrite, _) => match self.file_of_run(weights) {
                Some(weights) => Err(ExperimentError::WeightsOfRun { weights }),
                None if self.path.join(LOCK).exists() => self.lock().map(drop),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn file_of_run(&self, weights: Option<&Path>) -> Option<PathBuf> {
        let weights = weights?.canonicalize().ok()?;
        FILES
            .map(|file| self.path.join(file))
            .into_iter()
            .find(|file| file.canonicalize().is_ok_and(|file| file == weights))
    }

    /// Creates the directory, and locks it against other processes until the lock is dropped.
    pub(crate) fn lock(&self) -> Result<ProcessLock, ExperimentError> {
        fs::create_dir_all(&self.path).map_err(ExperimentError::file("create", &self.path))?;
        let path = self.path.join(LOCK);
        ProcessLock::acquire(&path).map_err(|error| match error {
            LockError::Held { process } => ExperimentError::InUse { directory: self.path.clone(), process },
            LockError::OtherFile => ExperimentError::file("lock", &path)(io::Error::other(
                "a file of that name is no lock; remove it",
            )),
            LockError::Io(source) => ExperimentError::file("create", &path)(source),
        })
    }

    /// Removes the directory of a run that failed before it wrote anything, for instance because its data do not exist. The caller holds the lock, so
    /// that no other process can begin a run in the directory.
    pub(crate) fn remove_unused(&self) {
        let lock = self.path.join(LOCK);
        let mut entries = fs::read_dir(&self.path).into_iter().flatten();
        if entries.all(|entry| entry.is_ok_and(|entry| entry.path() == lock)) {
            // Whatever cannot be removed stays.
            let _ = fs::remove_file(&lock).and_then(|()| fs::remove_dir(&self.path));
        }
    }

    /// Reads the identity of a run to resume.
    pub(crate) fn resumed(&self, existing: ExistingRun) -> Result<Option<Identity>, ExperimentError> {
        match (self.holds(), existing) {
            (Some(found), ExistingRun::Resume) => self.recorded(found).map(Some),
            _ => Ok(None),
        }
    }

    /// Writes the identity of a new run before its training, or checks that of a resumed run.
    pub(crate) fn begin(
        &self,
        identity: &Identity,
        recorded: Option<&Identity>,
        existing: ExistingRun,
    ) -> Result<(), ExperimentError> {
        match recorded {
            Some(recorded) => {
                let differences = identity.differences(recorded);
                if !differences.is_empty() {
                    return Err(ExperimentError::OtherRun { directory: self.path.clone(), differences });
                }
                if !identity.is_same_run(recorded) {
                    self.reopen()?;
                }
            }
            None if existing == ExistingRun::Overwrite => self.delete_files()?,
            None => {}
        }
        if recorded == Some(identity) {
            return Ok(());
        }
        let path = self.path.join(IDENTITY);
        let text = serde_json::to_string_pretty(identity).expect("settings are plain data") + "\n";
        twins_files::write_atomic(&path, text.as_bytes()).map_err(ExperimentError::file("write", &path))
    }

    /// Marks a finished run as running. It continues with other settings, for example with more epochs, and if the process ends before it has
    /// begun, the run must not pass for one that has finished with them.
    fn reopen(&self) -> Result<(), ExperimentError> {
        match RunRecord::read(&self.path) {
            Ok(record) if record.status.is_finished() => {
                Ok(RunRecord { status: RunStatus::Running, ..record }.write(&self.path)?)
            }
            // A record that cannot be read is not that of a finished run.
            _ => Ok(()),
        }
    }

    /// The identity of the run in the directory; `None` if there is no run, or its file cannot be read.
    pub(crate) fn identity(&self) -> Option<Identity> {
        let text = fs::read_to_string(self.path.join(IDENTITY)).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn recorded(&self, found: &str) -> Result<Identity, ExperimentError> {
        let path = self.path.join(IDENTITY);
        let unknown = |problem: String| ExperimentError::UnknownRun {
            path: path.clone(),
            problem,
            found: found.to_owned(),
        };
        let text = fs::read_to_string(&path).map_err(|error| unknown(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| unknown(format!("it is damaged: {error}")))
    }

    /// Deletes the files of a run, and no other files in its directory.
    ///
    /// # Errors
    ///
    /// [`ExperimentError::InUse`] if a process runs in the directory; a file that cannot be deleted.
    pub fn delete(&self) -> Result<(), ExperimentError> {
        let _lock = self.lock()?;
        self.delete_files()?;
        remove(&self.path.join(LOCK))?;
        // This fails if the directory contains other files, which are kept.
        fs::remove_dir(&self.path).ok();
        Ok(())
    }

    fn delete_files(&self) -> Result<(), ExperimentError> {
        for file in FILES {
            remove(&self.path.join(file))?;
            // What a process leaves that is killed while it writes the file.
            remove(&self.path.join(format!("{file}.part")))?;
        }
        let log = self.log();
        let Ok(files) = fs::read_dir(&log) else { return Ok(()) };
        for file in files.flatten() {
            let name = file.file_name();
            if LOG_FILES.iter().any(|start| name.to_string_lossy().starts_with(start)) {
                remove(&file.path())?;
            }
        }
        // This fails if the directory contains other files, which are kept.
        fs::remove_dir(&log).ok();
        Ok(())
    }
}

/// Deletes a file that may be missing.
pub(super) fn remove(file: &Path) -> Result<(), ExperimentError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ExperimentError::file("delete", file)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use twins_report::{Provenance, Score, ScoreKind};
    use twins_train::Accuracy;

    use super::super::identity::ResolvedInputs;
    use super::*;
    use crate::settings::ExperimentConfig;

    #[test]
    fn a_finished_run_that_goes_on_with_other_settings_has_not_finished_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::new(folder.path());
        let recorded =
            Identity { settings: ExperimentConfig::default(), resolved: ResolvedInputs::example() };
        let mut record =
            RunRecord::new("at", &recorded.settings.training, Provenance::starting_now(0)).unwrap();
        record.status = RunStatus::Completed;
        record.scores = vec![Score::new("clean", ScoreKind::Clean, Accuracy { correct: 1, total: 2 })];
        record.write(folder.path()).unwrap();
        let begin = |identity: &Identity| {
            directory.begin(identity, Some(&recorded), ExistingRun::Resume).unwrap();
            assert_eq!(directory.identity().as_ref(), Some(identity));
            RunRecord::read(folder.path()).unwrap()
        };
        // On other devices, it is the same run.
        let mut elsewhere = recorded.clone();
        elsewhere.settings.compute.threads = Some(1);
        assert_eq!(begin(&elsewhere), record);
        let mut longer = recorded.clone();
        longer.settings.training.epochs += 1;
        let mut with_other_steps = recorded.clone();
        with_other_steps.settings.evaluation.steps += 1;
        for identity in [longer, with_other_steps] {
            record.write(folder.path()).unwrap();
            // As if the process were killed here, before the training.
            assert_eq!(begin(&identity), RunRecord { status: RunStatus::Running, ..record.clone() });
        }
    }

    #[test]
    fn a_directory_has_one_run_and_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::new(folder.path().join("a/b"));
        directory.check(ExistingRun::Refuse, None).unwrap();
        let lock = directory.lock().unwrap();
        fs::write(directory.path().join(CONFIG), "{}").unwrap();
        let held = format!("in use by process {}", std::process::id());
        // Its files are not deleted either.
        for refused in
            [directory.lock().map(drop), directory.delete(), directory.check(ExistingRun::Overwrite, None)]
        {
            let message = refused.unwrap_err().to_string();
            assert!(message.contains(&held), "{message}");
        }
        assert_eq!(directory.holds(), Some(CONFIG));
        fs::remove_file(directory.path().join(CONFIG)).unwrap();
        drop(lock);
        drop(directory.lock().unwrap());

        fs::write(directory.path().join(CONFIG), "{}").unwrap();
        let message = directory.check(ExistingRun::Refuse, None).unwrap_err().to_string();
        assert!(message.contains("holds another run (config.json)"), "{message}");
        directory.check(ExistingRun::Resume, None).unwrap();
        fs::write(directory.model(), "weights").unwrap();
        let message =
            directory.check(ExistingRun::Overwrite, Some(&directory.model())).unwrap_err().to_string();
        assert!(message.contains("is of the run") || message.contains("are of the run"), "{message}");

        fs::write(directory.path().join("last.safetensors.part"), "half").unwrap();
        fs::write(directory.path().join("notes.txt"), "mine").unwrap();
        fs::create_dir(directory.log()).unwrap();
        for file in ["steps.csv", "epochs.jsonl", "events.out.tfevents.1.host", "notes.txt"] {
            fs::write(directory.log().join(file), "").unwrap();
        }
        directory.delete().unwrap();
        assert!(directory.holds().is_none() && directory.path().join("notes.txt").exists());
        assert!(!directory.path().join("last.safetensors.part").exists());
        let left: Vec<_> =
            fs::read_dir(directory.log()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(left, ["notes.txt"]);
    }
}
