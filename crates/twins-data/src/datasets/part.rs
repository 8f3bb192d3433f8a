use std::fmt;

use serde::{Deserialize, Serialize};

/// The part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Part {
    /// The samples to train on.
    Train,
    /// The samples to choose a checkpoint and settings on; most published data sets have none.
    Validation,
    /// The samples to evaluate on.
    Test,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Train => "training",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}
