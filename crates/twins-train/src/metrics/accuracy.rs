use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of correctly classified samples, and the number of all samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Accuracy {
    /// The number of correctly classified samples.
    pub correct: usize,
    /// The number of all samples.
    pub total: usize,
}

impl Accuracy {
    /// The accuracy as a fraction in [0, 1]; 0 if there are no samples.
    pub fn fraction(self) -> f64 {
        match self.total {
            0 => 0.0,
            total => self.correct as f64 / total as f64,
        }
    }

    /// The accuracy in per cent.
    pub fn percent(self) -> f64 {
        100.0 * self.fraction()
    }
}

impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} % ({} of {})", self.percent(), self.correct, self.total)
    }
}

/// The clean and the robust accuracy of a model on a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Evaluation {
    /// Accuracy on clean images.
    pub clean: Accuracy,
    /// Accuracy on the last iterates of the protocol's attack; `None` if there was no protocol.
    pub robust: Option<Accuracy>,
}
