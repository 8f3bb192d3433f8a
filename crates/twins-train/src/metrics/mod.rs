//! Measurements of steps, epochs and evaluations.

mod accuracy;
mod epoch_metrics;
mod epoch_sums;
mod observers;
mod step_report;

pub use accuracy::{Accuracy, Evaluation};
pub use epoch_metrics::{EpochMetrics, LayerMetrics, geometric_mean};
pub(crate) use epoch_sums::EpochSums;
pub use observers::{
    Completed, CsvObserver, JsonLinesObserver, ObserverKind, StepRecord, TensorBoardObserver,
    TrainingObserver,
};
pub use step_report::StepReport;
