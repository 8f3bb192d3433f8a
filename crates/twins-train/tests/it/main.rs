//! The integration tests of `twins-train`, one module per topic.

mod best_weights;
mod damaged_checkpoint;
mod data_parallel;
mod data_parallel_runs;
mod dropout;
mod epoch;
mod faults;
mod frozen_statistics;
mod frozen_wing;
#[cfg(unix)]
mod full_disk;
mod hard_data;
mod head;
mod hostile_state;
mod kill;
mod last_batch;
#[cfg(target_os = "linux")]
mod memory;
mod mixed_precision;
mod more_epochs;
mod no_validation;
mod objective_parameters;
mod observers;
mod probe;
mod skip_batch;
mod threads;
mod training;
mod validation_split;
mod wing_drift;
