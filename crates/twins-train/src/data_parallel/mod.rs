//! Devices and how work is distributed among them: background loading, data-parallel replicas, evaluation.

mod devices;
mod division;
mod evaluate;
mod loader;
mod order;
mod out_of_memory;
mod replicas;
mod running_statistics;
mod shard;
mod target_settings;

pub(crate) use devices::{Panicked, guard};
pub use division::MIN_IMAGES_PER_WING;
pub(crate) use evaluate::evaluate_with;
pub use evaluate::{evaluate, evaluate_on};
pub(crate) use loader::Loader;
pub(crate) use order::Order;
pub(crate) use out_of_memory::{Load, MicroBatches};
pub(crate) use replicas::{Failure, Replicas};
pub(crate) use shard::{MicroBatch, StepAdversary};
pub(crate) use target_settings::TargetSettings;
