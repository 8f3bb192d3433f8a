use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use twins_files::write_atomic;
use twins_train::EpochMetrics;

use crate::error::ReportError;
use crate::record::run_record::RunRecord;
use crate::record::status::RunStatus;

impl RunRecord {
    /// The file name of the record in the directory of a run.
    pub const FILE: &'static str = "result.json";

    /// The name of the trainer's file, which has one line of metrics per epoch.
    const METRICS: &'static str = "metrics.jsonl";

    /// Writes `result.json` to the directory of a run, first under a temporary name, which is then renamed. Missing folders
    /// are created. The metrics of the epochs are not included: the trainer writes them to `metrics.jsonl`.
    ///
    /// # Errors
    ///
    /// [`ReportError::Write`] with the path of the file.
    pub fn write(&self, directory: impl AsRef<Path>) -> Result<(), ReportError> {
        let path = directory.as_ref().join(Self::FILE);
        let text = serde_json::to_string_pretty(self).expect("a record is plain data") + "\n";
        write_atomic(&path, text.as_bytes()).map_err(|source| ReportError::Write { path, source })
    }

    /// Reads `result.json` and `metrics.jsonl` from the directory of a run. A run that has not ended or was interrupted has no
    /// scores.
    ///
    /// # Errors
    ///
    /// [`ReportError::Missing`], [`ReportError::Damaged`] and [`ReportError::Read`], each with the path of the file.
    pub fn read(directory: impl AsRef<Path>) -> Result<Self, ReportError> {
        let directory = directory.as_ref();
        let path = directory.join(Self::FILE);
        let damaged = |problem: String| ReportError::Damaged { path: path.clone(), problem };
        let text = read(&path)?.ok_or_else(|| ReportError::Missing { path: path.clone() })?;
        let mut record: Self = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        record.check().map_err(damaged)?;

        let path = directory.join(Self::METRICS);
        let damaged = |problem: String| ReportError::Damaged { path: path.clone(), problem };
        let history = match read(&path)? {
            Some(text) => parse_metrics(&text).map_err(damaged)?,
            // The file does not exist before the first epoch has ended.
            None if record.finished_epochs == 0 => Vec::new(),
            None => return Err(ReportError::Missing { path }),
        };
        // A resumed run discards the epochs after its checkpoint, so a running one may have fewer epochs in this file.
        if record.status != RunStatus::Running && history.len() < record.finished_epochs {
            return Err(damaged(format!(
                "it has {} epochs, but {} says that {} were finished",
                history.len(),
                Self::FILE,
                record.finished_epochs
            )));
        }
        let best = record.best;
        record = record.with_history(history);
        // If the run has ended, the best epoch is the one that the trainer has recorded.
        if record.status != RunStatus::Running {
            record.best = best;
        }
        Ok(record)
    }

    /// Checks for values that are impossible and that a report cannot show, and for more of them than it could.
    fn check(&self) -> Result<(), String> {
        let points: usize = self.curves.iter().map(|curve| curve.points.len()).sum();
        for (what, count) in [
            ("facts", self.facts.len()),
            ("settings", self.settings.len()),
            ("scores", self.scores.len() + self.last_scores.len()),
            ("curves", self.curves.len()),
            ("points of curves", points),
        ] {
            if count > MOST_VALUES {
                return Err(format!("it has {count} {what}, more than {MOST_VALUES}"));
            }
        }
        let scores = self.scores.iter().chain(&self.last_scores).map(|score| (&score.label, score.accuracy));
        let points = self.curves.iter().flat_map(|curve| curve.points.iter().map(|p| (&curve.label, p.1)));
        for (label, accuracy) in scores.chain(points) {
            if accuracy.correct > accuracy.total {
                return Err(format!(
                    "\"{label}\" has {} correct of {} images",
                    accuracy.correct, accuracy.total
                ));
            }
        }
        Ok(())
    }
}

/// The most facts, settings, scores and points that a record may have. A run has some ten of each, and a hundred settings; a report looks
/// for each of them among the others.
const MOST_VALUES: usize = 10_000;

/// Reads the text of a file; `None` if the file does not exist.
fn read(path: &Path) -> Result<Option<String>, ReportError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(ReportError::Damaged { path: path.to_owned(), problem: error.to_string() })
        }
        Err(source) => Err(ReportError::Read { path: path.to_owned(), source }),
    }
}

/// Parses the lines of `metrics.jsonl`. A last line without a line break is ignored, because it is still being written,
/// or was incomplete when the process ended.
fn parse_metrics(text: &str) -> Result<Vec<EpochMetrics>, String> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().enumerate();
    let epochs = lines.map(|(index, line)| {
        serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))
    });
    epochs.collect()
}

#[cfg(test)]
mod tests {
    use twins_train::{Accuracy, Method, TrainConfig};

    use super::*;
    use crate::example::epoch;
    use crate::record::fact::Fact;
    use crate::record::provenance::Provenance;
    use crate::record::score::{Score, ScoreKind};

    fn record() -> RunRecord {
        let config = TrainConfig::new(Method::At).with_epochs(3);
        RunRecord::new("at", &config, Provenance::starting_now(0)).unwrap().with_fact("data", "<letters>")
    }

    /// Writes the lines that the trainer would.
    fn write_metrics(folder: &Path, history: &[EpochMetrics]) {
        let lines: String =
            history.iter().map(|epoch| serde_json::to_string(epoch).unwrap() + "\n").collect();
        fs::write(folder.join(RunRecord::METRICS), lines).unwrap();
    }

    fn message(folder: &Path) -> String {
        RunRecord::read(folder).unwrap_err().to_string()
    }

    #[test]
    fn what_was_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/run");
        let mut record = record();
        // Written at the start, before there are metrics.
        record.write(&path).unwrap();
        assert_eq!(RunRecord::read(&path).unwrap(), record);
        for number in 1..=3 {
            record.add_epoch(epoch(number, number, 10));
        }
        record.scores.push(
            Score::new("clean", ScoreKind::Clean, Accuracy { correct: 7, total: 9 }).with_seconds(0.1 + 0.2),
        );
        record.status = RunStatus::Completed;
        write_metrics(&path, &record.history);
        record.write(&path).unwrap();
        assert_eq!(RunRecord::read(&path).unwrap(), record);
        let names: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[test]
    fn an_interrupted_run_has_no_scores_and_perhaps_half_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = record();
        record.add_epoch(epoch(1, 2, 3));
        record.status = RunStatus::Interrupted;
        record.write(folder.path()).unwrap();
        let line = serde_json::to_string(&record.history[0]).unwrap();
        fs::write(folder.path().join(RunRecord::METRICS), format!("{line}\n{}", &line[..40])).unwrap();
        let read = RunRecord::read(folder.path()).unwrap();
        assert_eq!(read, record);
        assert_eq!(read.status_text(), "interrupted after epoch 1 of 3");
    }

    #[test]
    fn a_killed_run_shows_the_epochs_that_the_trainer_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = record();
        record.add_epoch(epoch(1, 2, 3));
        record.write(folder.path()).unwrap();
        // Killed between the trainer's line and the next record.
        write_metrics(folder.path(), &[epoch(1, 2, 3), epoch(2, 4, 3)]);
        let read = RunRecord::read(folder.path()).unwrap();
        assert_eq!((read.finished_epochs, read.best.unwrap().epoch), (2, 2));
    }

    #[test]
    fn missing_and_damaged_files_are_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let result = folder.path().join(RunRecord::FILE);
        let text = message(folder.path());
        assert!(text.contains("result.json") && text.contains("resume"), "{text}");

        let mut record = record();
        record.add_epoch(epoch(1, 2, 3));
        record.add_epoch(epoch(2, 2, 3));
        record.status = RunStatus::Completed;
        record.write(folder.path()).unwrap();
        let text = message(folder.path());
        assert!(text.contains("metrics.jsonl is missing"), "{text}");

        write_metrics(folder.path(), &record.history[..1]);
        let text = message(folder.path());
        assert!(text.contains("metrics.jsonl") && text.contains("1 epochs, but result.json"), "{text}");

        fs::write(folder.path().join(RunRecord::METRICS), "{}\n").unwrap();
        let text = message(folder.path());
        assert!(text.contains("metrics.jsonl") && text.contains("line 1"), "{text}");

        let whole = fs::read(&result).unwrap();
        for damaged in [&whole[..whole.len() / 2], b"", b"[]", b"\xff\xfe"] {
            fs::write(&result, damaged).unwrap();
            let text = message(folder.path());
            assert!(text.contains("result.json") && text.contains("resume the run"), "{text}");
        }
    }

    #[test]
    fn more_values_than_a_report_can_show_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = record();
        for count in [MOST_VALUES, MOST_VALUES + 1] {
            record.facts = (0..count).map(|number| Fact::new(number.to_string(), "")).collect();
            record.write(folder.path()).unwrap();
            assert_eq!(RunRecord::read(folder.path()).is_ok(), count == MOST_VALUES);
        }
        let text = message(folder.path());
        assert!(text.contains("it has 10001 facts, more than 10000"), "{text}");
    }

    #[test]
    fn impossible_scores_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = record();
        record.scores.push(Score::new("clean", ScoreKind::Clean, Accuracy { correct: 9, total: 7 }));
        record.write(folder.path()).unwrap();
        let text = message(folder.path());
        assert!(text.contains("\"clean\" has 9 correct of 7 images"), "{text}");
    }
}
