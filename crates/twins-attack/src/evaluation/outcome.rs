use crate::engine::verification::Verification;

/// What one attack did to one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Place of the attack in the evaluation.
    pub stage: usize,
    /// Place of the sample among the samples.
    pub sample: usize,
    /// Whether the attack succeeded by its [`Criterion`](crate::Criterion).
    pub success: bool,
    /// How far the adversarial example that the attack found is from the clean image, in each norm of the evaluation's
    /// threat models, in the order in which the norms appear first. Empty if none was found. A targeted attack that fails
    /// may find an image of another wrong class.
    pub distances: Vec<f32>,
    /// Whether the adversarial example becomes that of the sample: it is the first that was found, or nearer than those
    /// before, in the norm of the attack that found the first one.
    pub nearest: bool,
    /// The adversarial example, verified: channels first, values in [0, 1]. An outcome that was read from a journal lacks
    /// it (see [`Journal::image`](crate::Journal::image)).
    pub adversarial: Option<Vec<f32>>,
    /// Images run through the model for this sample in this stage.
    pub forwards: u64,
    /// For how many of them a gradient was computed.
    pub backwards: u64,
    /// What came of checking the images that the attack claimed.
    pub verification: Verification,
    /// Seconds that the stage had taken by then.
    pub seconds: f64,
}

impl Outcome {
    /// Whether the attack found an adversarial example: an image that the model misclassifies.
    pub fn broken(&self) -> bool {
        !self.distances.is_empty()
    }
}
