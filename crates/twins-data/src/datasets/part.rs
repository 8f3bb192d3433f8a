use std::fmt;

use serde::{Deserialize, Serialize};

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The samples to train on.
    Train,
    /// The samples for the choice of checkpoints and settings; most published data sets have none.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_are_written() {
        for (part, text) in
            [(Part::Train, "\"train\""), (Part::Validation, "\"validation\""), (Part::Test, "\"test\"")]
        {
            assert_eq!(serde_json::to_string(&part).unwrap(), text);
            assert_eq!(serde_json::from_str::<Part>(text).unwrap(), part);
        }
        let message = serde_json::from_str::<Part>("\"dev\"").unwrap_err().to_string();
        assert!(message.contains("dev") && message.contains("`validation`"), "{message}");
    }
}
