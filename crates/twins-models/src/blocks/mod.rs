//! The building blocks that residual networks share.

pub(crate) mod activation;
pub(crate) mod block;
pub(crate) mod layers;
pub(crate) mod shortcut;
