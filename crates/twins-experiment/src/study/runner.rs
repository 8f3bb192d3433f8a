use std::path::Path;
use std::sync::atomic::Ordering;

use twins_train::ExistingRun;

use super::collection::{Choice, Collection};
use super::directory::StudyDirectory;
use super::estimate::Estimate;
use super::identity::StudyIdentity;
use super::{Divergence, LeftOut, LeftOutReason, Study, StudyJob, StudyOptions, StudyOutcome, StudyResults};
use crate::error::ExperimentError;
use crate::notice::Notice;
use crate::run::RunOptions;

impl Study {
    /// Runs the unfinished jobs of a shard, each in its directory within `out`, and writes the results after each job:
    ///
    /// | file | content |
    /// |---|---|
    /// | `study.json` | the resolved settings of the study |
    /// | `trials/ARM/CANDIDATE/`, `runs/ARM/seed-SEED/` | the directories of [`Experiment::run`](crate::Experiment::run) |
    /// | `study-results.json` | [`StudyResults`] |
    /// | `study.html` | the report |
    ///
    /// An interrupted training is resumed, a finished training is not repeated, and a divergence is recorded. Several processes may share
    /// the directory, with different shards or the same one. A run is left out if its learning rate depends on trials that are not in the
    /// directory.
    ///
    /// # Errors
    ///
    /// A directory of another study, errors of the data, weights or devices of an arm, and files that cannot be written. Finished jobs are
    /// kept.
    pub fn run(&self, out: impl AsRef<Path>, options: StudyOptions) -> Result<StudyOutcome, ExperimentError> {
        let directory = StudyDirectory::new(out.as_ref());
        let identity = StudyIdentity::new(self)?;
        directory.begin(&identity)?;
        let collection = Collection::new(&identity, &[directory.path()])?;
        let runner = Runner {
            study: self,
            directory: &directory,
            options: &options,
            estimate: Estimate::new(&collection),
            collection,
            left_out: Vec::new(),
            interrupted: false,
        };
        runner.run()
    }
}

/// A study that is being run.
struct Runner<'a> {
    study: &'a Study,
    directory: &'a StudyDirectory,
    options: &'a StudyOptions,
    collection: Collection<'a>,
    estimate: Estimate,
    left_out: Vec<LeftOut>,
    interrupted: bool,
}

/// How a job ended.
enum Ended {
    Finished,
    Interrupted,
    LeftOut(LeftOutReason),
}

impl Runner<'_> {
    fn run(mut self) -> Result<StudyOutcome, ExperimentError> {
        self.update()?;
        let identity = self.collection.identity;
        if self.options.phase.has_trials() {
            self.phase("trial", identity.trials())?;
        }
        if self.options.phase.has_runs() && !self.interrupted {
            self.phase("run", identity.runs())?;
            if !self.interrupted {
                self.retry()?;
            }
        }
        let (results, written) = self.write_results()?;
        written?;
        self.left_out.retain(|left_out| self.collection.get(&left_out.job).is_none());
        Ok(StudyOutcome { results, interrupted: self.interrupted, left_out: self.left_out })
    }

    /// Runs the jobs that were left out and can be run now, because other processes that share the directory have finished their trials or
    /// have been stopped.
    fn retry(&mut self) -> Result<(), ExperimentError> {
        self.collection.refresh()?;
        let runs: Vec<LeftOut> = self
            .left_out
            .extract_if(.., |left_out| {
                let is_run = matches!(left_out.job, StudyJob::Run { .. });
                is_run && matches!(self.collection.choice(left_out.job.arm()), Choice::Chosen(_))
            })
            .collect();
        let missing =
            runs.into_iter().map(|left_out| left_out.job).filter(|job| self.collection.get(job).is_none());
        let missing = missing.collect();
        self.jobs("run", missing)
    }

    /// The jobs of the shard.
    fn phase(&mut self, kind: &str, jobs: Vec<StudyJob>) -> Result<(), ExperimentError> {
        let all = jobs.len();
        let own: Vec<StudyJob> = jobs
            .into_iter()
            .enumerate()
            .filter(|(index, _)| self.options.shard.has(*index))
            .map(|(_, job)| job)
            .collect();
        let count = own.len();
        let missing: Vec<StudyJob> =
            own.into_iter().filter(|job| self.collection.get(job).is_none()).collect();
        if count > 0 {
            let shard = match self.options.shard.is_whole() {
                true => String::new(),
                false => format!(" of shard {}", self.options.shard),
            };
            self.progress(format!(
                "{count} of {all} {kind}s{shard}, {} finished before",
                count - missing.len()
            ));
        }
        self.jobs(kind, missing)
    }

    fn jobs(&mut self, kind: &str, jobs: Vec<StudyJob>) -> Result<(), ExperimentError> {
        let count = jobs.len();
        for (index, job) in jobs.iter().enumerate() {
            if self.options.stop.load(Ordering::Relaxed) {
                self.interrupted = true;
                return Ok(());
            }
            // Another process that shares the directory may have finished it by now.
            if self.collection.get(job).is_some() {
                continue;
            }
            let left = self
                .estimate
                .describe(&jobs[index..])
                .map(|left| format!(" ({left} left)"))
                .unwrap_or_default();
            self.progress(format!("{kind} {} of {count}: {job}{left}", index + 1));
            match self.job(job)? {
                Ended::Finished => {
                    let results = self.update()?;
                    // The results of the last job are those of the study.
                    if kind == "run" && index + 1 < count {
                        // A notice is one line.
                        self.progress(String::new());
                        results.to_table().lines().for_each(|line| self.progress(line.to_owned()));
                    }
                }
                Ended::Interrupted => {
                    self.interrupted = true;
                    return Ok(());
                }
                Ended::LeftOut(reason) => {
                    let left_out = LeftOut { job: job.clone(), reason };
                    self.progress(format!("  left out: {left_out}"));
                    self.left_out.push(left_out);
                }
            }
        }
        Ok(())
    }

    fn job(&mut self, job: &StudyJob) -> Result<Ended, ExperimentError> {
        let chosen = match (job, self.collection.choice(job.arm())) {
            (StudyJob::Trial { .. }, _) => None,
            (StudyJob::Run { .. }, Choice::Chosen(chosen)) => Some(chosen),
            (StudyJob::Run { .. }, Choice::Waiting(trials)) => {
                return Ok(Ended::LeftOut(LeftOutReason::MissingTrials(trials)));
            }
            (StudyJob::Run { .. }, Choice::AllDiverged(arm)) => {
                return Ok(Ended::LeftOut(LeftOutReason::AllTrialsDiverged(arm)));
            }
        };
        let Some(experiment) = self.study.experiment(job, chosen.as_ref())? else {
            return Ok(Ended::Finished);
        };
        let path = self.directory.path().join(job.directory());
        Ok(match experiment.run(&path, self.run_options(job)) {
            Ok(outcome) if outcome.is_interrupted() => Ended::Interrupted,
            Ok(outcome) => {
                // With the time before a resumption.
                self.estimate.add(job, outcome.record.provenance.seconds);
                Ended::Finished
            }
            Err(ExperimentError::InUse { directory, process }) => {
                Ended::LeftOut(LeftOutReason::InUse { directory, process })
            }
            Err(error) => match Divergence::of(&error) {
                Some(divergence) => {
                    divergence.write(&path)?;
                    self.options.notify.as_ref()(Notice::Warning(format!("{job} diverged: {divergence}")));
                    Ended::Finished
                }
                None => return Err(error.of_arm(job.arm())),
            },
        })
    }

    fn run_options(&self, job: &StudyJob) -> RunOptions {
        let options = RunOptions::new()
            .with_existing(ExistingRun::Resume)
            .with_name(match job {
                StudyJob::Run { arm, .. } => arm.clone(),
                StudyJob::Trial { .. } => job.to_string(),
            })
            .with_stop_flag(self.options.stop.clone())
            .with_notify(self.options.notify.clone());
        match &self.options.command {
            Some(command) => options.with_command(command.as_str()),
            None => options,
        }
    }

    /// Writes the results between jobs. A failure does not end the study, because the results are written again after the next job.
    fn update(&mut self) -> Result<StudyResults, ExperimentError> {
        let (results, written) = self.write_results()?;
        if let Err(error) = written {
            self.options.notify.as_ref()(Notice::Warning(error.to_string()));
        }
        Ok(results)
    }

    /// Collects the jobs that this or another process has finished, and writes the results. Returns the results even if they cannot be
    /// written.
    fn write_results(&mut self) -> Result<(StudyResults, Result<(), ExperimentError>), ExperimentError> {
        // Under the lock, so that the last process to write has the latest results.
        let _lock = self.directory.lock()?;
        self.collection.refresh()?;
        let results = StudyResults::new(&self.collection);
        let runs: Vec<_> = self.collection.run_directories().collect();
        let written = self.directory.write_results(&results, &runs);
        Ok((results, written))
    }

    fn progress(&self, text: String) {
        self.options.notify.as_ref()(Notice::Progress(text));
    }
}
