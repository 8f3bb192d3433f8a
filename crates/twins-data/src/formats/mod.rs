//! Readers of published data sets and of image folders.

pub(crate) mod cifar;
pub(crate) mod folder;
pub(crate) mod listed;
pub(crate) mod mnist;
pub(crate) mod pickle;
