use std::mem;

use super::criterion::Criterion;
use super::finding::Finding;
use super::stage::Stage;
use super::task::Task;
use crate::losses::ranking::argmax;
use crate::norms::position::Outside;

/// After this many batches, claims are checked even if they do not fill a batch, so that results are reported and saved
/// soon. Such a check costs one pass over a small batch for every `PATIENCE` passes over full batches.
const PATIENCE: usize = 32;

/// A sample whose run has ended with a claim of success, or with a wrong class other than its target.
pub(crate) struct Claim {
    pub(crate) task: Task,
    /// The class that the run aimed at.
    target: Option<usize>,
    finding: Finding,
    /// The number of fresh passes in which the criterion was met.
    successes: usize,
    /// The number of fresh passes in which the image was misclassified.
    misclassified: usize,
    /// The logits of the last pass in which the criterion was not met, and of the last pass in which it was.
    logits: [Vec<f32>; 2],
}

impl Claim {
    /// The claimed image.
    pub(crate) fn point(&self) -> &[f32] {
        &self.finding.point
    }

    /// Records the logits of a fresh pass.
    pub(crate) fn judge(&mut self, criterion: Criterion, label: usize, logits: &[f32]) {
        let success = criterion.is_met(logits, label, self.target);
        self.successes += usize::from(success);
        self.misclassified += usize::from(argmax(logits) != label);
        self.logits[usize::from(success)] = logits.to_vec();
    }

    /// Decides whether the claim counts after the fresh passes.
    pub(crate) fn settle(self, stage: &Stage<'_>) -> (Task, Finding) {
        let Self { mut task, mut finding, successes, misclassified, logits: [without, with], .. } = self;
        let verification = &mut task.tally.verification;
        verification.forwards += stage.rule.fresh_draws as u64;
        task.tally.cost.forwards += stage.rule.fresh_draws as u64;
        let claimed = mem::replace(&mut finding.fooled, stage.rule.holds(successes));
        verification.claimed += u64::from(finding.fooled && !claimed);
        verification.not_misclassified += u64::from(claimed && !finding.fooled);
        if !finding.fooled && stage.rule.holds(misclassified) {
            task.off_target.get_or_insert_with(|| finding.point.clone());
        }
        finding.logits = if finding.fooled { with } else { without };
        (task, finding)
    }
}

/// The claims that are waiting to be checked until they fill a batch.
#[derive(Default)]
pub(crate) struct Claims {
    waiting: Vec<Claim>,
    batches: usize,
}

impl Claims {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The number of forward passes that the waiting samples have cost.
    pub(crate) fn forwards(&self) -> u64 {
        self.waiting.iter().map(|claim| claim.task.tally.cost.forwards).sum()
    }

    /// Takes the finding of a run if its image has to be checked: if it is a claimed success, or if it belongs to a
    /// wrong class other than the target. Otherwise returns the task and the finding. If a claimed image lies outside
    /// the threat model, the run has failed and its result is the clean image.
    pub(crate) fn take(
        &mut self,
        stage: &Stage<'_>,
        mut task: Task,
        target: Option<usize>,
        finding: Finding,
    ) -> Option<(Task, Finding)> {
        let targeted = stage.attack.criterion() == Criterion::ClassifiedAsTarget && target.is_some();
        let misclassified = || argmax(&finding.logits) != stage.samples.source().label(task.index);
        let to_check = finding.fooled || (targeted && misclassified());
        if !to_check {
            return Some((task, finding));
        }
        let verification = &mut task.tally.verification;
        verification.claimed += u64::from(finding.fooled);
        match stage.attack.threat_model().check_position(&task.image, &finding.point) {
            Ok(()) => {
                let logits = [Vec::new(), Vec::new()];
                self.waiting.push(Claim { task, target, finding, successes: 0, misclassified: 0, logits });
                return None;
            }
            Err(_) if !finding.fooled => return Some((task, finding)),
            Err(Outside::Box) => verification.outside_box += 1,
            Err(Outside::Ball) => verification.outside_ball += 1,
        }
        let nothing = Finding::clean(&task.image, stage.clean.row(task.index));
        Some((task, nothing))
    }

    /// Returns the claims if it is time to check them: if they fill a batch, if they have waited long enough, or if
    /// there is nothing else to do.
    pub(crate) fn due(&mut self, batch_size: usize, idle: bool) -> Vec<Claim> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.batches += 1;
        if !idle && self.waiting.len() < batch_size && self.batches < PATIENCE {
            return Vec::new();
        }
        self.batches = 0;
        mem::take(&mut self.waiting)
    }
}
