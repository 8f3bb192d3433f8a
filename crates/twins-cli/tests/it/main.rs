//! The program `twins` as a process.

mod study;
