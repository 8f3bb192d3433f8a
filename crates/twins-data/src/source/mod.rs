//! Data sources, by their names on the command line.

pub(crate) mod data_source;
mod text;
