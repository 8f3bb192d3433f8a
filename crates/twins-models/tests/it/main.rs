//! The integration tests of `twins-models`, one module per topic.

mod memory;
