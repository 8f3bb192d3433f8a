//! The program `twins` as a process.

mod convert;
mod files;
mod hostile_names;
mod schema;
mod study;
