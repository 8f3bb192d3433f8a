//! The integration tests of `twins-nn`, one module per topic.

mod records;
