use serde::{Deserialize, Serialize};

use crate::norms::norm::Norm;

/// The distance of an image from the clean image in one norm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Distance {
    /// The norm.
    pub norm: Norm,
    /// The distance in this norm.
    pub distance: f32,
}

/// The results for one sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SampleRecord {
    /// Index of the sample in its data set.
    pub index: u64,
    /// The correct class.
    pub label: usize,
    /// The class predicted for the clean image.
    pub clean_prediction: usize,
    /// The stage that broke the sample first, `clean` if the sample was misclassified without an attack, or `None` if
    /// it survived.
    pub broken_by: Option<String>,
    /// Distance of the nearest adversarial example, in the norm of the attack that broke the sample first; `None` if it
    /// survived.
    pub distance: Option<f32>,
    /// Distance of the nearest adversarial example in each norm of the evaluation's threat models. The nearest images
    /// of two norms can differ. Empty if the sample survived.
    pub distances: Vec<Distance>,
}
