//! The integration tests of `twins-report`, one module per topic.

mod support;

mod accessible;
mod report;
mod run_directory;
