//! Data sources by the names that the command line takes.

pub(crate) mod data_source;
mod text;
