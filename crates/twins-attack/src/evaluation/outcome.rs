use crate::engine::verification::Verification;

/// The result of one attack on one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Index of the attack in the evaluation.
    pub stage: usize,
    /// Index of the sample among the samples.
    pub sample: usize,
    /// Whether the attack met its [`Criterion`](crate::Criterion).
    pub success: bool,
    /// Distance from the clean image to the adversarial example that the attack found, in each norm of the evaluation's
    /// threat models, in the order in which the norms first appear. Empty if none was found. A targeted attack that
    /// fails may still find an image of another wrong class.
    pub distances: Vec<f32>,
    /// Whether this adversarial example becomes the one of the sample. It does if it is the first that was found, or if
    /// it is nearer than the earlier ones, in the norm of the attack that found the first one.
    pub nearest: bool,
    /// The verified adversarial example: channels first, values in [0, 1]. It is `None` if no adversarial example was
    /// found, and in an outcome that was read from a journal (see [`Journal::image`](crate::Journal::image)).
    pub adversarial: Option<Vec<f32>>,
    /// Number of images run through the model for this sample in this stage.
    pub forwards: u64,
    /// Number of these images for which a gradient was computed.
    pub backwards: u64,
    /// The results of checking the images that the attack claimed.
    pub verification: Verification,
    /// Seconds that the stage had taken when the outcome became known.
    pub seconds: f64,
}

impl Outcome {
    /// Whether the attack found an adversarial example: an image that the model misclassifies.
    pub fn broken(&self) -> bool {
        !self.distances.is_empty()
    }
}
