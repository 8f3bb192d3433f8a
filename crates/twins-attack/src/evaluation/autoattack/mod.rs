//! AutoAttack: the published lists of attacks, for an evaluation.

pub(crate) mod config;
pub(crate) mod list;
pub(crate) mod version;
