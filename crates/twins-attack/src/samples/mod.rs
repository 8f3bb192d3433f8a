//! The images to attack, in memory or read when they are needed.

pub(crate) mod in_memory;
pub(crate) mod source;
