//! The samples of a stage: those that wait, those under attack, and what becomes of them.

use std::collections::VecDeque;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::finding::Finding;
use super::verification::Verification;
use crate::error::AttackError;

/// Work done, in images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) forwards: u64,
    pub(crate) backwards: u64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.forwards += other.forwards;
        self.backwards += other.backwards;
    }
}

/// What the attack on a sample has cost and claimed.
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

/// What an attack has done to a sample.
pub(crate) struct Completed {
    pub(crate) index: usize,
    /// The clean image.
    pub(crate) image: Arc<[f32]>,
    /// If it says that the model is fooled, that has been verified.
    pub(crate) finding: Finding,
    /// An image that the model misclassifies, verified: that of the finding, or one of a targeted attack that ended in
    /// another wrong class.
    pub(crate) adversarial: Option<Vec<f32>>,
    pub(crate) tally: Tally,
}

/// Takes the results of a stage.
pub(crate) trait Results {
    /// The attack on a sample has ended.
    fn completed(&mut self, completed: Completed) -> Result<(), AttackError>;

    /// So many images have been through the model; `under_way` is what the unfinished samples have cost so far.
    fn progressed(&mut self, images: u64, under_way: u64) -> Result<(), AttackError> {
        let _ = (images, under_way);
        Ok(())
    }
}

/// The samples that no slot has taken up.
pub(crate) struct Waiting(Mutex<VecDeque<usize>>);

impl Waiting {
    pub(crate) fn new(standing: &[usize]) -> Self {
        Self(Mutex::new(standing.iter().copied().collect()))
    }

    /// Takes the next sample.
    pub(crate) fn next(&self) -> Option<usize> {
        self.take(1).pop()
    }

    /// Takes at most so many samples.
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
    /// The next run, or the present one.
    pub(crate) run: usize,
    pub(crate) tally: Tally,
    /// The result of the earlier runs.
    pub(crate) best: Option<Finding>,
    /// See [`Sample::malt_order`](super::sample::Sample::malt_order).
    pub(crate) malt_order: Arc<OnceLock<Vec<usize>>>,
    /// The first image of a run that missed its target, but that the model misclassifies all the same.
    pub(crate) off_target: Option<Vec<f32>>,
}

impl Task {
    pub(crate) fn new(index: usize, image: Arc<[f32]>) -> Self {
        let (tally, malt_order) = (Tally::default(), Arc::default());
        Self { index, image, run: 0, tally, best: None, malt_order, off_target: None }
    }
}
