use super::arm::Arm;
use super::{Candidate, StudyJob, TrialsConfig};
use crate::error::ExperimentError;
use crate::experiment::Experiment;

/// A study with validated settings: experiments that differ in a few settings, each with several seeds.
///
/// Only [`StudyConfig::check`](super::StudyConfig::check) creates it. [`run`](Self::run) runs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Study {
    pub(super) name: String,
    pub(super) seeds: Vec<u64>,
    pub(super) baseline: String,
    pub(super) trials: Option<TrialsConfig>,
    pub(super) arms: Vec<Arm>,
}

impl Study {
    pub(super) fn new(
        name: String,
        seeds: Vec<u64>,
        baseline: String,
        trials: Option<TrialsConfig>,
        arms: Vec<Arm>,
    ) -> Self {
        Self { name, seeds, baseline, trials, arms }
    }

    /// The title.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The runs of the results table: for each seed in order, each arm in order.
    pub fn runs(&self) -> Vec<StudyJob> {
        StudyJob::runs(&self.seeds, self.arms.iter().map(|arm| arm.name.as_str()))
    }

    /// Returns the experiment of a job. A run has the settings of its arm, overridden by the settings that trials chose, or by a learning
    /// rate that is another arm's times a factor. Without `chosen`, these are known only if trials have nothing to choose from; otherwise
    /// the settings are those of the arm alone. `None` if the study does not have the arm.
    ///
    /// # Errors
    ///
    /// A setting that is out of range.
    pub fn experiment(
        &self,
        job: &StudyJob,
        chosen: Option<&Candidate>,
    ) -> Result<Option<Experiment>, ExperimentError> {
        let Some(arm) = self.arms.iter().find(|arm| arm.name == job.arm()) else { return Ok(None) };
        let experiment = match (job, &self.trials) {
            (StudyJob::Run { seed, .. }, _) => {
                let own = Candidate::new();
                let known = if let [only] = arm.tried.as_slice() { only } else { &own };
                arm.run(*seed, chosen.unwrap_or(known))?
            }
            (StudyJob::Trial { candidate, .. }, Some(trials)) => arm.trial(trials, candidate)?,
            (StudyJob::Trial { .. }, None) => return Ok(None),
        };
        Ok(Some(experiment))
    }
}
