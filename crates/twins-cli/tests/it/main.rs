//! The program `twins` as a process.

mod files;
mod schema;
mod hostile_names;
mod study;
