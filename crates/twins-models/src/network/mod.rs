//! A network as it is configured, initialised and run.

pub(crate) mod config;
mod initial;
pub(crate) mod net;
pub(crate) mod normalisation;
pub(crate) mod slots;
pub(crate) mod upsample;
