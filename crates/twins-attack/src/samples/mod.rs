//! The images to attack, in memory or read when they are needed.

pub(crate) mod samples;
pub(crate) mod source;
