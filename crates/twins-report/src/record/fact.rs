use serde::{Deserialize, Serialize};

/// A label and what it stands for in a run, such as the architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The label, such as `architecture`.
    pub label: String,
    /// The value, such as `resnet20`.
    pub value: String,
}

impl Fact {
    /// A label with its value.
    pub fn new(label: impl Into<String>, value: impl ToString) -> Self {
        Self { label: label.into(), value: value.to_string() }
    }
}
