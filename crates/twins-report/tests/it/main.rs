//! The integration tests of `twins-report`, one module per topic.

mod support;

mod accessible;
mod hostile_records;
mod report;
mod run_directory;
