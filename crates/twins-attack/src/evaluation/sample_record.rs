use serde::{Deserialize, Serialize};

use crate::norms::norm::Norm;

/// The distance of an image from the clean one in a norm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// The norm.
    pub norm: Norm,
    /// The distance in it.
    pub distance: f32,
}

/// One sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRecord {
    /// Number of the sample in its data set.
    pub index: u64,
    /// The right class.
    pub label: usize,
    /// The class predicted for the clean image.
    pub clean_prediction: usize,
    /// The stage that broke it first, `clean` if it was misclassified without an attack, none if it withstood.
    pub broken_by: Option<String>,
    /// Distance of the nearest adversarial example, in the norm of the attack that broke the sample first.
    pub distance: Option<f32>,
    /// Distances of the nearest adversarial examples in each norm of the evaluation's threat models, which may be different
    /// images; empty if the sample withstood.
    pub distances: Vec<Distance>,
}
