use std::fmt;

use serde::{Deserialize, Serialize};

/// How many of how many samples were classified correctly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Samples classified correctly.
    pub correct: usize,
    /// Samples.
    pub total: usize,
}

impl Accuracy {
    /// The fraction in [0, 1]; 0 of no samples.
    pub fn fraction(self) -> f64 {
        match self.total {
            0 => 0.0,
            total => self.correct as f64 / total as f64,
        }
    }

    /// The fraction in per cent.
    pub fn percent(self) -> f64 {
        100.0 * self.fraction()
    }
}

impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} % ({} of {})", self.percent(), self.correct, self.total)
    }
}

/// Accuracy of a model on a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// On the images as they are.
    pub clean: Accuracy,
    /// On the last iterates of the protocol's attack; `None` where there was none.
    pub robust: Option<Accuracy>,
}
