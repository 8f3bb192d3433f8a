//! Strict import of weights from PyTorch, safetensors and Burn files.

mod affine;
mod archive;
mod burnpack_file;
pub(crate) mod checkpoint;
mod entry;
pub(crate) mod load;
mod locate;
pub(crate) mod mismatch;
pub(crate) mod options;
mod pickle;
mod plan;
pub(crate) mod rename;
pub(crate) mod report;
pub(crate) mod safetensors_file;
mod scan;
mod shortcuts;
mod sizes;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
