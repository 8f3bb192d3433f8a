//! The images to attack, in memory or read when they are needed.

mod batching;
pub(crate) mod in_memory;
pub(crate) mod source;
