//! The images to attack, either in memory or read on demand.

mod batching;
pub(crate) mod in_memory;
pub(crate) mod source;
