//! The integration tests of `twins-data`, one module per topic.

mod counting;

mod cifar_python;
mod hostile_files;
mod hostile_names;
mod listed;
mod memory;
mod pillow_jpeg;
mod pillow_resize;
