//! Observers of a training run, including built-in ones that write files.

mod csv;
mod json_lines;
mod kind;
mod line_file;
mod observer;
mod scalars;
mod step_record;
mod tensorboard;

pub use csv::CsvObserver;
pub use json_lines::JsonLinesObserver;
pub use kind::ObserverKind;
pub use observer::{Completed, TrainingObserver};
pub use step_record::StepRecord;
pub use tensorboard::TensorBoardObserver;
