//! The configuration, initialisation and forward pass of a network.

pub(crate) mod config;
mod initial;
pub(crate) mod net;
pub(crate) mod normalisation;
pub(crate) mod slots;
pub(crate) mod upsample;
