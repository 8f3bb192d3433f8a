use std::collections::HashSet;

use super::journal::read::Journal;
use crate::error::AttackError;
use crate::hash::Hash;
use crate::model::clean::CleanLogits;
use crate::model::precision::Precision;
use crate::samples::source::SampleStream;

/// What identifies an evaluation when it is resumed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Identity {
    /// Hash of the settings and of the data.
    pub(crate) fingerprint: String,
    /// Logits of the clean images. They identify the model unless it is randomised.
    pub(crate) clean: Vec<f32>,
    /// Whether the model counts as randomised: two passes over the same images differ, the attacks average gradients
    /// over repeated passes, or the version of AutoAttack is `rand`.
    pub(crate) randomised: bool,
}

/// How far logits of the same model may differ between two runs, relative to the largest logit. Other batch sizes and
/// devices round differently; another model differs by much more.
const SAME_LOGITS: f32 = 1e-3;

/// The index of the first logit that differs too much for both lists to come from the same model.
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

impl Identity {
    /// Computes the identity. `settings` is a text that differs if the attacks or options differ.
    pub(super) fn new(
        settings: &str,
        samples: &SampleStream<'_>,
        clean: &CleanLogits,
        precision: Precision,
        randomised: bool,
    ) -> Self {
        let (version, source) = (env!("CARGO_PKG_VERSION"), samples.source());
        let mut hash = Hash::new();
        let shape = source.image_shape();
        hash.bytes(format!("{version} {settings} {precision} {shape:?}").as_bytes());
        for index in 0..samples.len() {
            hash.word(source.label(index) as u64);
            hash.word(source.id(index));
            if let Some(target) = source.target(index) {
                hash.word(target as u64);
            }
            if let Some(start) = source.start(index) {
                hash.floats(start);
            }
        }
        clean.images().iter().for_each(|&image| hash.word(image));
        let fingerprint = format!("{:016x}", hash.value());
        Self { fingerprint, clean: clean.rows().flatten().copied().collect(), randomised }
    }

    /// Checks that a journal belongs to this evaluation, which has `stages` stages and measures distances in `norms`
    /// norms.
    pub(super) fn check(
        &self,
        journal: &Journal,
        [stages, norms]: [usize; 2],
        samples: &SampleStream<'_>,
    ) -> Result<(), AttackError> {
        let saved = journal.identity();
        if self.fingerprint != saved.fingerprint {
            return Err(AttackError::OtherEvaluation {
                journal: journal.path().to_owned(),
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
            return Err(AttackError::OtherModel { journal: journal.path().to_owned(), sample });
        }
        let row: usize = samples.source().image_shape().iter().product();
        let mut seen = HashSet::new();
        let misfit = journal.outcomes().iter().position(|outcome| {
            outcome.stage >= stages
                || outcome.sample >= samples.len()
                || !seen.insert((outcome.stage, outcome.sample))
                || (outcome.broken() && outcome.distances.len() != norms)
                || (outcome.nearest && journal.image_values(outcome.sample) != Some(row))
        });
        let damaged = |place| AttackError::DamagedJournal { journal: journal.path().to_owned(), place };
        misfit.map_or(Ok(()), |place| Err(damaged(place)))
    }
}
