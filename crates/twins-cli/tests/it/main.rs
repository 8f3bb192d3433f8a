//! The program `twins` as a process.

mod hostile_names;
mod study;
