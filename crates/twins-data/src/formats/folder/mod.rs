//! Folders of images with one sub-folder per class.

pub(crate) mod config;
pub(crate) mod dataset;
pub(crate) mod listing;
pub(crate) mod part_folders;
#[cfg(test)]
mod tests;
