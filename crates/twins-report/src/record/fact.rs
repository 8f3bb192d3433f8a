use serde::{Deserialize, Serialize};

/// A property of a run with its label, such as the architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fact {
    /// The label, such as `architecture`.
    pub label: String,
    /// The value, such as `resnet20`.
    pub value: String,
}

impl Fact {
    /// Creates a fact from a label and a value.
    pub fn new(label: impl Into<String>, value: impl ToString) -> Self {
        Self { label: label.into(), value: value.to_string() }
    }
}
