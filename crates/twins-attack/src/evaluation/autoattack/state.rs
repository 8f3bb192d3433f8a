use serde::{Deserialize, Serialize};

use super::AutoAttack;
use crate::engine::verification::Verification;
use crate::error::AttackError;
use crate::hash::Hash;
use crate::model::clean::CleanLogits;
use crate::model::precision::Precision;
use crate::samples::source::SampleStream;

/// What one attack did to one sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Place of the attack in the sequence.
    pub stage: usize,
    /// Place of the sample among the samples.
    pub sample: usize,
    /// How far the misclassified image that the attack found is from the clean one, in the norm of the threat model; none if
    /// the sample withstood.
    pub distance: Option<f32>,
    /// The misclassified image, verified. An observer gets it always. A saved state may leave it out: only
    /// [`AutoAttack::evaluate`] and [`AutoAttack::evaluate_on`], which return the images, need it.
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

/// Everything that is needed to resume an evaluation that was interrupted: scalars for each sample and attack, and the
/// clean logits.
///
/// To survive being killed, save the state when [`Observer::started`](super::Observer::started) hands it over and
/// append each [`Outcome`]; [`JournalWriter`](crate::JournalWriter) does so in a compact file. The outcomes read back, put into
/// `outcomes`, give the state at the time of the kill. Only the samples of the batch under way (of each replica) and those
/// whose claims wait to be verified are attacked anew, and since draws belong to the sample they come to the same end.
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
        samples: &SampleStream<'_>,
        clean: &CleanLogits,
        precision: Precision,
        randomised: bool,
    ) -> Self {
        let (version, source) = (env!("CARGO_PKG_VERSION"), samples.source());
        let mut hash = Hash::new();
        let shape = source.image_shape();
        hash.bytes(format!("{version} {:?} {precision} {shape:?}", autoattack.config).as_bytes());
        for index in 0..samples.len() {
            hash.word(source.label(index) as u64);
            hash.word(source.id(index));
        }
        hash.word(clean.images());
        let fingerprint = format!("{:016x}", hash.value());
        let clean = clean.rows().flatten().copied().collect();
        Self { fingerprint, clean, randomised, outcomes: Vec::new() }
    }

    /// Checks that a saved state belongs to this evaluation.
    pub(super) fn check(
        &self,
        saved: &Self,
        stages: usize,
        samples: &SampleStream<'_>,
    ) -> Result<(), AttackError> {
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
            let sample = samples.source().id(place * samples.len() / self.clean.len());
            return Err(AttackError::OtherModel { sample });
        }
        let row: usize = samples.source().image_shape().iter().product();
        let fits = |outcome: &Outcome| {
            outcome.stage < stages
                && outcome.sample < samples.len()
                && outcome
                    .adversarial
                    .as_ref()
                    .is_none_or(|image| image.len() == row && outcome.distance.is_some())
        };
        match saved.outcomes.iter().position(|outcome| !fits(outcome)) {
            Some(place) => Err(AttackError::DamagedState { place }),
            None => Ok(()),
        }
    }
}
