use serde::{Deserialize, Serialize};

/// The two built-in tasks: a model is trained on the source task and fine-tuned on the target task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Ten letters: A, B, E, G, H, K, M, R, S, Y.
    Source,
    /// The ten digits.
    Target,
}
