use serde::{Deserialize, Serialize};

use super::AutoAttack;
use crate::clean::CleanLogits;
use crate::draws::fnv1a;
use crate::{AttackError, Precision, Samples, Verification};

/// What one attack did to one sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Place of the attack in the sequence.
    pub stage: usize,
    /// Place of the sample among the samples.
    pub sample: usize,
    /// The misclassified image, if the attack found one; verified.
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

/// Everything that is needed to go on with an evaluation that was interrupted.
///
/// To survive being killed, save the state when [`Observer::started`](super::Observer::started) hands it over and
/// append each [`Outcome`] (as a line of its own, say): the outcomes read back, put into `outcomes`, give the state at
/// the time of the kill. Only the samples of the batch under way (of each replica) are attacked anew, and since draws belong to
/// the sample they come to the same end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationState {
    /// Hash of the settings and the data.
    pub fingerprint: String,
    /// Logits of the clean images, by which the model is recognised unless it is randomised.
    pub clean: Vec<f32>,
    /// Whether the model is randomised: two passes over the same images differed, or the settings average gradients over
    /// repeated passes. Its logits differ each time, so that a resumed evaluation cannot tell it from another model with as
    /// many classes; a program that knows the weights should compare their hash, as the example `evaluate` does.
    pub randomised: bool,
    /// What has been found out.
    pub outcomes: Vec<Outcome>,
}

/// How far logits of the same model may differ between two runs, relative to the largest logit: other batch sizes and
/// devices round differently, another model differs by much more.
const SAME_LOGITS: f32 = 1e-3;

/// The first place where other logits of the same images cannot be the same model's.
pub(super) fn first_difference(logits: &[f32], others: &[f32]) -> Option<usize> {
    if logits.len() != others.len() {
        return Some(0);
    }
    let largest = logits.iter().fold(1.0_f32, |most, z| z.abs().max(most));
    logits.iter().zip(others).position(|(a, b)| {
        let difference = (a - b).abs();
        difference.is_nan() || difference > SAME_LOGITS * largest
    })
}

impl EvaluationState {
    pub(super) fn new(
        autoattack: &AutoAttack,
        samples: &Samples,
        clean: &CleanLogits,
        precision: Precision,
        randomised: bool,
    ) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let settings = format!("{version} {:?} {precision} {:?}", autoattack.config, samples.image_shape());
        let mut bytes = settings.into_bytes();
        samples.labels().iter().for_each(|label| bytes.extend((*label as u64).to_le_bytes()));
        samples.ids().iter().for_each(|id| bytes.extend(id.to_le_bytes()));
        samples.pixels().iter().for_each(|pixel| bytes.extend(pixel.to_le_bytes()));
        let fingerprint = format!("{:016x}", fnv1a(&bytes));
        let clean = clean.rows().flatten().copied().collect();
        Self { fingerprint, clean, randomised, outcomes: Vec::new() }
    }

    /// Checks that a saved state belongs to this evaluation.
    pub(super) fn check(&self, saved: &Self, stages: usize, samples: &Samples) -> Result<(), AttackError> {
        if self.fingerprint != saved.fingerprint {
            return Err(AttackError::OtherEvaluation {
                expected: self.fingerprint.clone(),
                found: saved.fingerprint.clone(),
            });
        }
        let difference = if self.randomised || saved.randomised {
            (self.clean.len() != saved.clean.len()).then_some(0)
        } else {
            first_difference(&self.clean, &saved.clean)
        };
        if let Some(place) = difference {
            let sample = samples.ids()[place * samples.len() / self.clean.len()];
            return Err(AttackError::OtherModel { sample });
        }
        let row = samples.image(0).len();
        let fits = |outcome: &Outcome| {
            outcome.stage < stages
                && outcome.sample < samples.len()
                && outcome.adversarial.as_ref().is_none_or(|image| image.len() == row)
        };
        match saved.outcomes.iter().position(|outcome| !fits(outcome)) {
            Some(place) => Err(AttackError::DamagedState { place }),
            None => Ok(()),
        }
    }
}
