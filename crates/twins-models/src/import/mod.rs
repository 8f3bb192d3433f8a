//! Weights from PyTorch and safetensors files, strictly.

mod archive;
mod burnpack_file;
mod checkpoint;
mod entry;
mod load;
mod locate;
mod mismatch;
mod naming;
mod options;
mod pickle;
mod plan;
mod rename;
mod report;
mod safetensors_file;
mod scan;
mod shortcuts;
mod slots;

pub use load::{load_pretrained, load_weights};
pub use mismatch::{ImportMismatch, ShapeMismatch};
pub use options::{ImportOptions, NormalisationSource};
pub use rename::Rename;
pub use report::{IgnoredEntry, ImportReport, MappedEntry, WeightFormat};

pub(crate) use checkpoint::Checkpoint;
pub(crate) use naming::Naming;
pub(crate) use slots::{Slot, filled, slots, values};

#[cfg(test)]
pub(crate) mod counting;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
