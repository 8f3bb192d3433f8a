//! The program `twins` as a process.

mod files;
mod hostile_names;
mod schema;
mod study;
