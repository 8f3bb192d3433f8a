use std::ops::ControlFlow;

use burn::tensor::Tensor;

use super::journal::read::Journal;
use super::outcome::Outcome;
use super::progress::{Observer, Progress};
use super::report::Report;
use crate::error::AttackError;
use crate::samples::in_memory::Samples;

/// The result of [`RobustnessEvaluation::evaluate`](crate::RobustnessEvaluation::evaluate).
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The results.
    pub report: Report,
    /// The adversarial example of each sample, or the clean image where none was found:
    /// `[samples, channels, height, width]`. If several were found, it is the nearest one, in the norm of the attack
    /// that found the first.
    pub adversarial: Tensor<4>,
}

/// An observer that keeps the images of an evaluation for its caller and passes every event on.
pub(super) struct Images<'a> {
    samples: &'a Samples,
    pub(super) pixels: Vec<f32>,
    observer: &'a mut dyn Observer,
}

impl<'a> Images<'a> {
    pub(super) fn new(samples: &'a Samples, observer: &'a mut dyn Observer) -> Self {
        Self { samples, pixels: samples.pixels().to_vec(), observer }
    }

    /// Takes the images from the journal that is resumed.
    pub(super) fn load(&mut self, journal: &Journal) -> Result<(), AttackError> {
        for sample in 0..self.samples.len() {
            if let Some(image) = journal.image(sample)? {
                self.put(sample, &image);
            }
        }
        Ok(())
    }

    fn put(&mut self, index: usize, image: &[f32]) {
        let row = self.pixels.len() / self.samples.len();
        // A journal with images of another length is refused later.
        if image.len() == row {
            self.pixels[index * row..(index + 1) * row].copy_from_slice(image);
        }
    }
}

impl Observer for Images<'_> {
    fn progress(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        self.observer.progress(progress)
    }

    fn outcome(&mut self, outcome: &Outcome) -> ControlFlow<()> {
        if let Some(image) = outcome.adversarial.as_ref().filter(|_| outcome.nearest) {
            self.put(outcome.sample, image);
        }
        self.observer.outcome(outcome)
    }
}
