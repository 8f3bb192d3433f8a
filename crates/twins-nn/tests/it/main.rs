//! The integration tests of `twins-nn`, one module per topic.

mod clones;
mod degenerate_statistics;
mod records;
