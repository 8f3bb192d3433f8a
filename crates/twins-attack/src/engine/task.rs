//! The samples of a stage: those that are waiting, those under attack, and their results.

use std::collections::VecDeque;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::finding::Finding;
use super::verification::Verification;
use crate::error::AttackError;

/// The amount of work, in images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) forwards: u64,
    pub(crate) backwards: u64,
}

/// Stops at the largest number, because a journal that was altered can hold any.
impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.forwards = self.forwards.saturating_add(other.forwards);
        self.backwards = self.backwards.saturating_add(other.backwards);
    }
}

/// The cost of the attack on a sample, and the results of checking its claims.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) cost: Cost,
    pub(crate) verification: Verification,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.cost += other.cost;
        self.verification += other.verification;
    }
}

/// The result of an attack on a sample.
pub(crate) struct Completed {
    pub(crate) index: usize,
    /// The clean image.
    pub(crate) image: Arc<[f32]>,
    /// The finding. If it claims that the model is fooled, this has been verified.
    pub(crate) finding: Finding,
    /// Whether a run met the criterion, as verified. It need not be the run of the finding.
    pub(crate) success: bool,
    /// An image that the model misclassifies, as verified: the image of the finding, or the first such image of another
    /// run.
    pub(crate) adversarial: Option<Vec<f32>>,
    pub(crate) tally: Tally,
}

/// Receives the results of a stage.
pub(crate) trait Results {
    /// Called when the attack on a sample has ended.
    fn completed(&mut self, completed: Completed) -> Result<(), AttackError>;

    /// Called when `images` further images have gone through the model. `under_way` is the number of forward passes that
    /// the unfinished samples have cost so far.
    fn progressed(&mut self, _images: u64, _under_way: u64) -> Result<(), AttackError> {
        Ok(())
    }
}

/// The samples that no slot has taken yet.
pub(crate) struct Waiting(Mutex<VecDeque<usize>>);

impl Waiting {
    pub(crate) fn new(standing: &[usize]) -> Self {
        Self(Mutex::new(standing.iter().copied().collect()))
    }

    /// Takes at most `count` samples.
    pub(crate) fn take(&self, count: usize) -> Vec<usize> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = count.min(waiting.len());
        waiting.drain(..count).collect()
    }
}

/// A sample to be attacked.
pub(crate) struct Task {
    pub(crate) index: usize,
    /// The clean image.
    pub(crate) image: Arc<[f32]>,
    /// The number of the current run, or of the next one.
    pub(crate) run: usize,
    pub(crate) tally: Tally,
    /// The result of the earlier runs.
    pub(crate) best: Option<Finding>,
    /// See [`Sample::malt_order`](super::sample::Sample::malt_order).
    pub(crate) malt_order: Arc<OnceLock<Vec<usize>>>,
    /// Whether a run met the criterion, as verified.
    pub(crate) success: bool,
    /// The first image that the model misclassifies, as verified, but that need not become the result: it missed the
    /// target of its run, or it succeeded and a stronger image of another run may not.
    pub(crate) adversarial: Option<Vec<f32>>,
}

impl Task {
    pub(crate) fn new(index: usize, image: Arc<[f32]>) -> Self {
        let (tally, malt_order) = (Tally::default(), Arc::default());
        Self { index, image, run: 0, tally, best: None, malt_order, success: false, adversarial: None }
    }
}
