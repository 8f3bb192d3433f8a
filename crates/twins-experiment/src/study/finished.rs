use std::path::{Path, PathBuf};

use twins_files::one_line;
use twins_report::{RunRecord, ScoreKind};

use super::identity::{Expected, comparable};
use super::{Divergence, EpochResult, StudyError, StudyJob};
use crate::data::ImageFileHashes;
use crate::error::ExperimentError;
use crate::run::{ResolvedInputs, RunDirectory, collect_differences};
use crate::settings::plain;

/// The recorded result of a finished training, which is not run again. Comparisons ignore durations and dates.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    pub(super) directory: PathBuf,
    pub(super) result: FinishedResult,
    /// The epochs that it finished.
    pub(super) epochs: Vec<EpochResult>,
    /// The inputs of the training.
    inputs: ResolvedInputs,
}

/// How a training ended.
#[derive(Clone, Debug)]
pub(super) enum FinishedResult {
    /// With a result.
    Record(Box<RunRecord>),
    /// With a divergence.
    Diverged(Divergence),
}

impl Finished {
    /// Reads the result of a job in a directory. `None` if the job has not finished, or if its record cannot be read; it must then be
    /// resumed.
    ///
    /// # Errors
    ///
    /// [`ExperimentError::OtherRun`] if it was trained with settings other than the job's.
    pub(super) fn read(
        directory: &Path,
        job: &StudyJob,
        expected: &Expected,
    ) -> Result<Option<Self>, ExperimentError> {
        let Some(identity) = RunDirectory::new(directory).identity() else { return Ok(None) };
        let record = RunRecord::read(directory);
        let epochs = record.iter().flat_map(|record| &record.history).map(EpochResult::from).collect();
        let result = match (Divergence::read(directory), record) {
            (Some(divergence), _) => FinishedResult::Diverged(divergence),
            (None, Ok(record)) if is_finished(&record, job) => {
                FinishedResult::Record(Box::new(without_pictures(record)))
            }
            _ => return Ok(None),
        };
        let mut differences = Vec::new();
        collect_differences(
            "",
            &plain(&comparable(&identity.settings)),
            &plain(&expected.settings),
            &mut differences,
        );
        if identity.resolved.weights.as_ref() != expected.weights {
            differences.push("the initial weights are of another file".to_owned());
        }
        if !differences.is_empty() {
            return Err(ExperimentError::OtherRun { directory: directory.to_owned(), differences });
        }
        Ok(Some(Self { directory: directory.to_owned(), result, epochs, inputs: identity.resolved }))
    }

    /// Checks that the same training in another directory gave the same result.
    pub(super) fn check_same(&self, other: &Self) -> Result<(), StudyError> {
        let mut differences = Vec::new();
        match (&self.result, &other.result) {
            (FinishedResult::Record(a), FinishedResult::Record(b)) => {
                let scores = |record: &RunRecord| -> Vec<String> {
                    let scores = record
                        .scores
                        .iter()
                        .map(|score| format!("{}: {}", one_line(&score.label), score.accuracy));
                    let last = record.last_scores.iter().map(|score| {
                        format!("last checkpoint, {}: {}", one_line(&score.label), score.accuracy)
                    });
                    scores
                        .chain(last)
                        .chain([format!(
                            "best epoch: {:?}",
                            record.best.map(|best| (best.epoch, best.clean, best.robust))
                        )])
                        .collect()
                };
                let (a, b) = (scores(a), scores(b));
                let differing = a.iter().zip(&b).filter(|(a, b)| a != b);
                differences.extend(differing.map(|(a, b)| format!("{a} and {b}")));
                if a.len() != b.len() {
                    differences.push(format!("{} and {} scores", a.len() - 1, b.len() - 1));
                }
            }
            (FinishedResult::Diverged(a), FinishedResult::Diverged(b)) if a == b => (),
            (a, b) => differences.push(format!("{} and {}", a.in_words(), b.in_words())),
        }
        match differences.is_empty() {
            true => Ok(()),
            false => Err(StudyError::DifferentResults {
                first: self.directory.clone(),
                second: other.directory.clone(),
                differences,
            }),
        }
    }

    /// Checks that another training of the study was evaluated on the same test images.
    pub(super) fn check_same_images(&self, other: &Self) -> Result<(), StudyError> {
        let value = |inputs: &ResolvedInputs| serde_json::json!({ "test images": inputs.images.test, "classes": inputs.classes, "held out": inputs.held_out });
        let (own, others) = (&self.inputs, &other.inputs);
        let test = |inputs: &ResolvedInputs| ImageFileHashes {
            test: inputs.image_files.test.clone(),
            ..ImageFileHashes::default()
        };
        let files = test(own).differences(&test(others));
        self.check_images(other, [value(own), value(others)], files)
    }

    /// Checks that another training of the same arm had the same training and validation images.
    pub(super) fn check_same_training_images(&self, other: &Self) -> Result<(), StudyError> {
        let value = |inputs: &ResolvedInputs| serde_json::json!({ "training images": inputs.images.train, "validation images": inputs.images.validation, "held out": inputs.held_out });
        let (own, others) = (&self.inputs, &other.inputs);
        let trained = |inputs: &ResolvedInputs| ImageFileHashes { test: None, ..inputs.image_files.clone() };
        let files = trained(own).differences(&trained(others));
        self.check_images(other, [value(own), value(others)], files)
    }

    fn check_images(
        &self,
        other: &Self,
        [own, others]: [serde_json::Value; 2],
        files: impl IntoIterator<Item = String>,
    ) -> Result<(), StudyError> {
        let mut differences = Vec::new();
        collect_differences("", &own, &others, &mut differences);
        differences.extend(files);
        match differences.is_empty() {
            true => Ok(()),
            false => Err(StudyError::DifferentImages {
                first: self.directory.clone(),
                second: other.directory.clone(),
                differences,
            }),
        }
    }
}

impl FinishedResult {
    fn in_words(&self) -> String {
        match self {
            Self::Record(_) => "a finished training".to_owned(),
            Self::Diverged(divergence) => format!("a training that diverged ({divergence})"),
        }
    }
}

fn is_finished(record: &RunRecord, job: &StudyJob) -> bool {
    record.status.is_finished()
        && match job {
            StudyJob::Trial { .. } => record.best.is_some(),
            StudyJob::Run { .. } => record.scores.iter().any(|score| score.kind == ScoreKind::Clean),
        }
}

/// Removes the parts of a record that a table does not need.
fn without_pictures(mut record: RunRecord) -> RunRecord {
    (record.gallery, record.curves, record.history) = (None, Vec::new(), Vec::new());
    record
}
