use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use twins_files::{AtomicFile, write_atomic};

use super::checkpoint::Checkpoint;
use crate::config::{TrainConfig, read_settings};
use crate::error::TrainError;
use crate::metrics::EpochMetrics;

/// What to do with a run that the directory already contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExistingRun {
    /// Return an error and leave the run unchanged.
    Refuse,
    /// Resume the run from its last checkpoint, or start a new run if there is no checkpoint. The configuration must
    /// equal that of the run, except that it may have more epochs. Completed steps are kept as they are, and the
    /// schedule is evaluated with the new number of epochs.
    Resume,
    /// Delete the files of the run and start a new run.
    Overwrite,
}

/// The files of one training run.
///
/// | file | what it is |
/// |---|---|
/// | `config.json` | the settings and the values that are derived from them ([`EffectiveConfig`](crate::EffectiveConfig)) |
/// | `metrics.jsonl` | one line of [`EpochMetrics`] per epoch |
/// | `last.safetensors` | the state to resume from, with the best weights so far |
/// | `previous.safetensors` | the state before `last.safetensors`, used if that file is damaged |
/// | `damaged.safetensors` | a `last.safetensors` that could not be used; nothing reads it |
/// | `best.safetensors` | the weights with the best validation robust accuracy, for users; resuming a run does not need it |
///
/// Every file but `metrics.jsonl` is written under another name, flushed to the disk and then renamed. A reader
/// therefore always finds a complete file, even if the process ends at any moment. `metrics.jsonl` grows line by line,
/// and an incomplete last line is dropped when the run is resumed.
#[derive(Clone, Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
}

const CONFIG: &str = "config.json";
const METRICS: &str = "metrics.jsonl";
const LAST: &str = "last.safetensors";
const PREVIOUS: &str = "previous.safetensors";
const DAMAGED: &str = "damaged.safetensors";
const BEST: &str = "best.safetensors";

impl RunDirectory {
    /// Opens or creates the directory. Nothing is written if an existing run is refused.
    pub(crate) fn open(path: &Path, existing: ExistingRun) -> Result<Self, TrainError> {
        let directory = Self { path: path.to_owned() };
        // The files are deleted in this order, so that a process that ends meanwhile never leaves a state without its
        // configuration: such a state could be resumed with any configuration.
        let found: Vec<&str> = [LAST, PREVIOUS, DAMAGED, BEST, METRICS, CONFIG]
            .into_iter()
            .filter(|name| directory.path.join(name).exists())
            .collect();
        match existing {
            ExistingRun::Refuse if !found.is_empty() => {
                return Err(TrainError::RunExists { path: path.to_owned(), found: found.join(", ") });
            }
            ExistingRun::Overwrite => {
                for name in found {
                    let file = directory.path.join(name);
                    fs::remove_file(&file).map_err(io("remove", &file))?;
                }
            }
            ExistingRun::Refuse | ExistingRun::Resume => {}
        }
        fs::create_dir_all(path).map_err(io("create", path))?;
        Ok(directory)
    }

    pub(crate) fn last(&self) -> PathBuf {
        self.path.join(LAST)
    }

    /// The file that a resumed run would start from; `None` if no checkpoint has been written yet.
    pub(crate) fn newest(&self) -> Option<PathBuf> {
        [LAST, PREVIOUS].map(|name| self.path.join(name)).into_iter().find(|path| path.exists())
    }

    pub(crate) fn best(&self) -> PathBuf {
        self.path.join(BEST)
    }

    /// Reads the configuration of the run in the directory; `None` if there is no configuration.
    pub(crate) fn read_config(&self) -> Result<Option<TrainConfig>, TrainError> {
        let path = self.path.join(CONFIG);
        match fs::read_to_string(&path) {
            Ok(text) => read_settings(&text)
                .map(Some)
                .map_err(|error| TrainError::Checkpoint { path, problem: error.to_string() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io("read", &path)(error)),
        }
    }

    pub(crate) fn write_config(&self, config: &TrainConfig) -> Result<(), TrainError> {
        let text = serde_json::to_string_pretty(&config.effective()?).expect("a configuration is plain data");
        write_file(&self.path.join(CONFIG), (text + "\n").as_bytes())
    }

    pub(crate) fn append_metrics(&self, metrics: &EpochMetrics) -> Result<(), TrainError> {
        let path = self.path.join(METRICS);
        let line = serde_json::to_string(metrics).expect("metrics are plain data") + "\n";
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(io("open", &path))?;
        file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).map_err(io("write", &path))
    }

    /// Reads the metrics of the first `epochs` epochs. Later or incomplete lines are removed from the file; the run
    /// will write them again.
    pub(crate) fn rewind_metrics(&self, epochs: usize) -> Result<Vec<EpochMetrics>, TrainError> {
        let path = self.path.join(METRICS);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(io("read", &path)(error)),
        };
        let kept: Vec<(&str, EpochMetrics)> = text
            .lines()
            .filter_map(|line| Some((line, serde_json::from_str::<EpochMetrics>(line).ok()?)))
            .filter(|(_, metrics)| metrics.epoch <= epochs)
            .collect();
        let lines: String = kept.iter().map(|(line, _)| format!("{line}\n")).collect();
        if lines != text {
            write_file(&path, lines.as_bytes())?;
        }
        Ok(kept.into_iter().map(|(_, metrics)| metrics).collect())
    }

    /// Writes the state to resume from. The current `last.safetensors` becomes `previous.safetensors`.
    pub(crate) fn write_last(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let path = self.last();
        let file = AtomicFile::write(&path, &encode(&path, checkpoint)?).map_err(io("write", &path))?;
        if path.exists() {
            fs::rename(&path, self.path.join(PREVIOUS)).map_err(io("rename", &path))?;
        }
        file.commit().map_err(io("write", &path))
    }

    pub(crate) fn write_best(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let path = self.best();
        write_file(&path, &encode(&path, checkpoint)?)
    }

    /// Reads the last usable state. If it is the previous one, the error of the last one is returned with it.
    ///
    /// In that case the damaged file is renamed. Otherwise the next write would replace the usable previous state by the
    /// damaged one, and a process that ends at that moment would leave no usable state.
    pub(crate) fn read_last(&self) -> Result<Option<(Checkpoint, Option<TrainError>)>, TrainError> {
        let problem = match read(&self.last()) {
            Ok(Some(checkpoint)) => return Ok(Some((checkpoint, None))),
            Ok(None) => None,
            Err(problem) => Some(problem),
        };
        match read(&self.path.join(PREVIOUS)) {
            Ok(Some(checkpoint)) => {
                if problem.is_some() {
                    let last = self.last();
                    fs::rename(&last, self.path.join(DAMAGED)).map_err(io("rename", &last))?;
                }
                Ok(Some((checkpoint, problem)))
            }
            Ok(None) => problem.map_or(Ok(None), Err),
            Err(error) => Err(problem.unwrap_or(error)),
        }
    }

    pub(crate) fn read_best(&self) -> Result<Option<Checkpoint>, TrainError> {
        read(&self.best())
    }
}

/// Reads and verifies a checkpoint; `None` if there is no such file.
fn read(path: &Path) -> Result<Option<Checkpoint>, TrainError> {
    match fs::read(path) {
        Ok(bytes) => Checkpoint::from_bytes(&bytes)
            .map(Some)
            .map_err(|problem| TrainError::Checkpoint { path: path.to_owned(), problem }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io("read", path)(error)),
    }
}

fn encode(path: &Path, checkpoint: &Checkpoint) -> Result<Vec<u8>, TrainError> {
    checkpoint.to_bytes().map_err(|problem| TrainError::Checkpoint { path: path.to_owned(), problem })
}

/// Writes a file atomically and creates missing folders.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    write_atomic(path, bytes).map_err(io("write", path))
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    move |source| TrainError::io(action, path, source)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use burn::tensor::TensorData;

    use super::*;

    fn checkpoint(value: f32) -> Checkpoint {
        let tensors = BTreeMap::from([("w".to_owned(), TensorData::from([value]))]);
        Checkpoint { metadata: BTreeMap::new(), tensors }
    }

    #[test]
    fn another_run_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let run = RunDirectory::open(folder.path(), ExistingRun::Refuse).unwrap();
        run.write_last(&checkpoint(1.0)).unwrap();
        run.write_best(&checkpoint(4.0)).unwrap();
        let message = RunDirectory::open(folder.path(), ExistingRun::Refuse).unwrap_err().to_string();
        assert!(message.contains("last.safetensors"), "{message}");
        assert!(run.read_last().unwrap().is_some());
        assert_eq!(run.read_best().unwrap(), Some(checkpoint(4.0)));
        RunDirectory::open(folder.path(), ExistingRun::Overwrite).unwrap();
        assert!(run.read_last().unwrap().is_none() && run.read_best().unwrap().is_none());
        assert!(folder.path().join("notes.txt").exists());
    }

    #[test]
    fn a_state_is_never_left_without_its_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(folder.path(), ExistingRun::Refuse).unwrap();
        run.write_config(&TrainConfig::default()).unwrap();
        // A folder in its place cannot be removed as a file: the deletion ends there.
        fs::create_dir(run.last()).unwrap();
        assert!(RunDirectory::open(folder.path(), ExistingRun::Overwrite).is_err());
        assert_eq!(run.read_config().unwrap(), Some(TrainConfig::default()));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_taken_for_a_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(folder.path(), ExistingRun::Refuse).unwrap();
        // A folder in its place exists and cannot be read as a file.
        for name in [LAST, BEST, CONFIG, METRICS] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (name, error) in [
            (LAST, run.read_last().err()),
            (BEST, run.read_best().err()),
            (CONFIG, run.read_config().err()),
            (METRICS, run.rewind_metrics(1).err()),
        ] {
            let message = error.expect(name).to_string();
            assert!(message.contains("cannot read") && message.contains(name), "{message}");
        }
    }

    #[test]
    fn a_damaged_last_checkpoint_falls_back_to_the_previous() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(folder.path(), ExistingRun::Refuse).unwrap();
        run.write_last(&checkpoint(1.0)).unwrap();
        run.write_last(&checkpoint(2.0)).unwrap();
        assert_eq!(run.read_last().unwrap().unwrap().0, checkpoint(2.0));
        let bytes = fs::read(run.last()).unwrap();
        for damaged in [&bytes[..bytes.len() - 1], &bytes[..3], b"".as_slice()] {
            fs::write(run.last(), damaged).unwrap();
            let (read, problem) = run.read_last().unwrap().unwrap();
            assert_eq!(read, checkpoint(1.0));
            assert!(problem.unwrap().to_string().contains("last.safetensors"));
        }
        // It is out of the way already, as it is where the process ended between the two renames of a writing.
        assert_eq!(fs::read(run.path.join(DAMAGED)).unwrap(), b"");
        assert_eq!(run.newest(), Some(run.path.join(PREVIOUS)));
        assert_eq!(run.read_last().unwrap().unwrap().0, checkpoint(1.0));
        fs::write(run.path.join(PREVIOUS), b"x").unwrap();
        assert!(run.read_last().is_err());
    }

    #[test]
    fn a_damaged_checkpoint_never_takes_the_place_of_a_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(folder.path(), ExistingRun::Refuse).unwrap();
        run.write_last(&checkpoint(1.0)).unwrap();
        run.write_last(&checkpoint(2.0)).unwrap();
        fs::write(run.last(), b"damaged").unwrap();
        run.read_last().unwrap();
        run.write_last(&checkpoint(3.0)).unwrap();
        // Where the process ends before the new one is in its place, this is all there is.
        assert_eq!(read(&run.path.join(PREVIOUS)).unwrap().unwrap(), checkpoint(1.0));
        assert_eq!(read(&run.last()).unwrap().unwrap(), checkpoint(3.0));
        run.write_last(&checkpoint(4.0)).unwrap();
        assert_eq!(read(&run.path.join(PREVIOUS)).unwrap().unwrap(), checkpoint(3.0));
        RunDirectory::open(folder.path(), ExistingRun::Overwrite).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
