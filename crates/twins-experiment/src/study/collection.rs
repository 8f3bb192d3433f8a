use std::path::{Path, PathBuf};

use twins_report::RunRecord;

use super::arm::SettingsFrom;
use super::finished::{Finished, FinishedResult};
use super::identity::{ArmIdentity, StudyIdentity};
use super::report::RunOfArm;
use super::{Candidate, SettingsOf, StudyError, StudyJob};
use crate::error::ExperimentError;

/// The finished trainings of a study, in one or several directories.
pub(super) struct Collection<'a> {
    pub(super) identity: &'a StudyIdentity,
    directories: Vec<PathBuf>,
    trials: Vec<(StudyJob, Option<Finished>)>,
    runs: Vec<(StudyJob, Option<Finished>)>,
}

/// The settings that trials or another arm choose for an arm, as far as they are known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    /// The settings are known; they are empty if the arm has no trials.
    Chosen(Candidate),
    /// These trials have not finished.
    Waiting(Vec<StudyJob>),
    /// Every trial of this arm diverged.
    AllDiverged(String),
}

impl<'a> Collection<'a> {
    /// Looks for the trainings of a study.
    ///
    /// # Errors
    ///
    /// A training with other settings, a training with two results, trainings that were evaluated on different images, or trainings
    /// of an arm that were trained or validated on different images.
    pub(super) fn new(identity: &'a StudyIdentity, directories: &[&Path]) -> Result<Self, ExperimentError> {
        let unknown = |jobs: Vec<StudyJob>| jobs.into_iter().map(|job| (job, None)).collect();
        let mut collection = Self {
            identity,
            directories: directories.iter().map(|directory| directory.to_path_buf()).collect(),
            trials: unknown(identity.trials()),
            runs: unknown(identity.runs()),
        };
        collection.refresh()?;
        Ok(collection)
    }

    /// Looks again for the trainings that had not finished.
    pub(super) fn refresh(&mut self) -> Result<(), ExperimentError> {
        for index in 0..self.trials.len() {
            if self.trials[index].1.is_none() {
                self.trials[index].1 = self.find(&self.trials[index].0, &Candidate::new())?;
            }
        }
        for index in 0..self.runs.len() {
            let (job, found) = &self.runs[index];
            if found.is_none()
                && let Choice::Chosen(chosen) = self.choice(job.arm())
            {
                self.runs[index].1 = self.find(job, &chosen)?;
            }
        }
        let mut measured = self.runs.iter().filter_map(|(_, found)| found.as_ref());
        if let Some(first) = measured.next() {
            measured.try_for_each(|other| first.check_same_images(other))?;
        }
        for arm in &self.identity.arms {
            check_same_training_images(self.runs_of(&arm.name))?;
            let of_data = |job: &StudyJob| match job {
                StudyJob::Trial { candidate, .. } => {
                    candidate.settings().keys().any(|key| key.starts_with("data."))
                }
                StudyJob::Run { .. } => false,
            };
            // Candidates may choose the data as well.
            if !self.trials_of(&arm.name).any(|(job, _)| of_data(job)) {
                check_same_training_images(self.trials_of(&arm.name))?;
            }
        }
        Ok(())
    }

    /// Finds a finished job in any of the directories.
    fn find(&self, job: &StudyJob, chosen: &Candidate) -> Result<Option<Finished>, ExperimentError> {
        let Some(expected) = self.identity.expected(job, chosen) else { return Ok(None) };
        let mut found: Option<Finished> = None;
        for directory in &self.directories {
            let Some(other) = Finished::read(&directory.join(job.directory()), job, &expected)? else {
                continue;
            };
            match &found {
                Some(first) => first.check_same(&other)?,
                None => found = Some(other),
            }
        }
        Ok(found)
    }

    /// A finished job.
    pub(super) fn get(&self, job: &StudyJob) -> Option<&Finished> {
        let all = self.trials.iter().chain(&self.runs);
        all.filter(|(other, _)| other == job).find_map(|(_, found)| found.as_ref())
    }

    /// The jobs that have not finished. An arm has no runs if all its trials diverged.
    pub(super) fn missing(&self) -> Vec<StudyJob> {
        let runs =
            self.runs.iter().filter(|(job, _)| !matches!(self.choice(job.arm()), Choice::AllDiverged(_)));
        let all = self.trials.iter().chain(runs);
        all.filter(|(_, found)| found.is_none()).map(|(job, _)| job.clone()).collect()
    }

    /// The runs that have finished with a result, grouped by arm.
    pub(super) fn run_directories(&self) -> impl Iterator<Item = RunOfArm> {
        let found = self
            .identity
            .arms
            .iter()
            .flat_map(|arm| self.runs_of(&arm.name))
            .filter_map(|(job, found)| Some((job, found?)));
        found
            .filter(|(_, found)| matches!(found.result, FinishedResult::Record(_)))
            .map(|(job, found)| (job.arm().to_owned(), found.directory.clone()))
    }

    /// The seconds that finished jobs took, except those that diverged and so did not train to the end.
    pub(super) fn seconds(&self) -> impl Iterator<Item = (&StudyJob, f64)> {
        let all = self.trials.iter().chain(&self.runs);
        all.filter_map(|(job, found)| match &found.as_ref()?.result {
            FinishedResult::Record(record) => Some((job, record.provenance.seconds)),
            FinishedResult::Diverged(_) => None,
        })
    }

    /// The trials of an arm.
    pub(super) fn trials_of(&self, arm: &str) -> impl Iterator<Item = (&StudyJob, Option<&Finished>)> {
        self.trials.iter().filter(move |(job, _)| job.arm() == arm).map(|(job, found)| (job, found.as_ref()))
    }

    /// The runs of an arm.
    pub(super) fn runs_of(&self, arm: &str) -> impl Iterator<Item = (&StudyJob, Option<&Finished>)> {
        self.runs.iter().filter(move |(job, _)| job.arm() == arm).map(|(job, found)| (job, found.as_ref()))
    }

    /// Chooses the settings of an arm from its trials, by the best robust accuracy on the validation images. Ties are decided by the best
    /// clean accuracy, then by the lower learning rate, then by the order in the list.
    pub(super) fn choice(&self, arm: &str) -> Choice {
        let own = self.arm(arm);
        match &own.settings_from {
            SettingsFrom::Given(_) => Choice::Chosen(Candidate::new()),
            SettingsFrom::Of(SettingsOf { arm: other, .. }) => match self.choice(other) {
                Choice::Chosen(chosen) => {
                    let taken = own.taken(self.arm(other), &chosen);
                    Choice::Chosen(taken.expect("an arm takes what the other one may be run with"))
                }
                unknown => unknown,
            },
            SettingsFrom::Trials(_) => self.choice_of_trials(arm),
        }
    }

    /// The learning rate of an arm with the settings that were chosen.
    pub(super) fn learning_rate(&self, arm: &str, chosen: &Candidate) -> f64 {
        self.arm(arm).learning_rate(chosen).expect("arms and candidates are those of the study")
    }

    fn arm(&self, name: &str) -> &ArmIdentity {
        self.identity.arm(name).expect("arms and candidates are those of the study")
    }

    fn choice_of_trials(&self, arm: &str) -> Choice {
        let waiting: Vec<StudyJob> =
            self.trials_of(arm).filter(|(_, found)| found.is_none()).map(|(job, _)| job.clone()).collect();
        if !waiting.is_empty() {
            return Choice::Waiting(waiting);
        }
        let trials = self.trials_of(arm).filter_map(|(job, found)| match (job, &found?.result) {
            (StudyJob::Trial { candidate, .. }, FinishedResult::Record(record)) => {
                Some((candidate, self.learning_rate(arm, candidate), rank(record)?))
            }
            _ => None,
        });
        let best = trials.reduce(|best, other| {
            let wins = other.2 > best.2 || (other.2 == best.2 && other.1 < best.1);
            if wins { other } else { best }
        });
        match best {
            Some((candidate, ..)) => Choice::Chosen(candidate.clone()),
            None => Choice::AllDiverged(arm.to_owned()),
        }
    }
}

/// Checks that trainings of an arm had the same images.
fn check_same_training_images<'a>(
    trainings: impl Iterator<Item = (&'a StudyJob, Option<&'a Finished>)>,
) -> Result<(), StudyError> {
    let mut finished = trainings.filter_map(|(_, found)| found);
    let Some(first) = finished.next() else { return Ok(()) };
    finished.try_for_each(|other| first.check_same_training_images(other))
}

/// The fractions of correctly classified validation images, adversarial and clean.
type Rank = (f64, f64);

fn rank(record: &RunRecord) -> Option<Rank> {
    record.best.map(|best| (best.robust.fraction(), best.clean.fraction()))
}
