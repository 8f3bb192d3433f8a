//! Data sets whose images, classes and parts are named by list files.

mod caltech256;
mod class_folders;
mod cub200;
pub(crate) mod dataset;
mod dogs;
mod dtd;
pub(crate) mod fault;
mod gtsrb;
pub(crate) mod layout;
mod lines;
mod list_file;
mod listing;
mod pets;
