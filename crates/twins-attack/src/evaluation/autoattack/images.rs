use std::ops::ControlFlow;

use super::{EvaluationState, Observer, Outcome, Progress};
use crate::error::AttackError;
use crate::samples::in_memory::Samples;

/// Keeps the images of an evaluation for its caller, and passes everything on.
pub(super) struct Images<'a> {
    samples: &'a Samples,
    pub(super) pixels: Vec<f32>,
    observer: &'a mut dyn Observer,
}

impl<'a> Images<'a> {
    pub(super) fn new(samples: &'a Samples, observer: &'a mut dyn Observer) -> Self {
        Self { samples, pixels: samples.pixels().to_vec(), observer }
    }

    /// Takes the images of a saved state, which must have all of them.
    pub(super) fn take(&mut self, saved: &EvaluationState) -> Result<(), AttackError> {
        let ids = self.samples.ids();
        for outcome in saved.outcomes.iter().filter(|outcome| outcome.sample < ids.len()) {
            match (&outcome.adversarial, outcome.distance) {
                (None, Some(_)) => return Err(AttackError::ImageNotKept { sample: ids[outcome.sample] }),
                (Some(image), _) => self.put(outcome.sample, image),
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn put(&mut self, index: usize, image: &[f32]) {
        let row = self.pixels.len() / self.samples.len();
        // Another length is refused with the rest of the state.
        if image.len() == row {
            self.pixels[index * row..(index + 1) * row].copy_from_slice(image);
        }
    }
}

impl Observer for Images<'_> {
    fn progress(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        self.observer.progress(progress)
    }

    fn started(&mut self, state: &EvaluationState) -> ControlFlow<()> {
        self.observer.started(state)
    }

    fn outcome(&mut self, outcome: &Outcome) -> ControlFlow<()> {
        if let Some(image) = &outcome.adversarial {
            self.put(outcome.sample, image);
        }
        self.observer.outcome(outcome)
    }
}
