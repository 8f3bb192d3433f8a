use twins_models::Net;
use twins_report::{RunRecord, RunStatus};
use twins_train::Evaluation;

use super::ResolvedInputs;
use crate::settings::ExperimentConfig;

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What `result.json` and `metrics.jsonl` say.
    pub record: RunRecord,
    /// The model: of the best checkpoint, or of the last one where no images were held out.
    pub model: Net,
    /// Its accuracy on the test images; the default, of no images, where the training was interrupted before.
    pub test: Evaluation,
    /// The accuracy of the last checkpoint on the test images; `None` where the settings skip it ([`EvaluationConfig`](crate::EvaluationConfig)), or
    /// where the training was interrupted before.
    pub last: Option<Evaluation>,
    /// The settings that it ran with: those of the experiment, with the schedule of a run that was resumed.
    pub settings: ExperimentConfig,
    /// What data and weights it is of.
    pub inputs: ResolvedInputs,
}

impl Outcome {
    /// Whether the training was interrupted, with its state saved.
    pub fn is_interrupted(&self) -> bool {
        self.record.status == RunStatus::Interrupted
    }
}
