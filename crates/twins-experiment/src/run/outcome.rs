use twins_models::Net;
use twins_report::{RunRecord, RunStatus};
use twins_train::Evaluation;

use super::ResolvedInputs;
use crate::settings::ExperimentConfig;

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The content of `result.json` and `metrics.jsonl`.
    pub record: RunRecord,
    /// The model of the best checkpoint, or of the last checkpoint if no images were held out.
    pub model: Net,
    /// The accuracy of the model on the test images; that of no images if the settings skip it
    /// ([`TestMeasurement`](crate::TestMeasurement)), or if the run was interrupted.
    pub test: Evaluation,
    /// The accuracy of the last checkpoint on the test images; `None` if the settings skip it
    /// ([`EvaluationConfig`](crate::EvaluationConfig)), or if the run was interrupted.
    pub last: Option<Evaluation>,
    /// The settings of the run: those of the experiment, with the schedule of the original run if it was resumed.
    pub settings: ExperimentConfig,
    /// The data and weights of the run.
    pub inputs: ResolvedInputs,
}

impl Outcome {
    /// Whether the training or the measurement was interrupted, with the state saved.
    pub fn is_interrupted(&self) -> bool {
        self.record.status == RunStatus::Interrupted
    }
}
