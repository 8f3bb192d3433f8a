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
            task.adversarial.get_or_insert_with(|| finding.point.clone());
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
    /// wrong class other than the target. Otherwise returns the task and the finding. If the image lies outside the
    /// threat model, the run has failed and its result is the clean image, whether or not it was claimed.
    pub(crate) fn take(
        &mut self,
        stage: &Stage<'_>,
        mut task: Task,
        target: Option<usize>,
        finding: Finding,
    ) -> Option<(Task, Finding)> {
        let claimed = u64::from(finding.fooled);
        let verification = &mut task.tally.verification;
        verification.claimed += claimed;
        if let Err(outside) = stage.attack.threat_model().check_position(&task.image, &finding.point) {
            match outside {
                Outside::Box => verification.outside_box += claimed,
                Outside::Ball => verification.outside_ball += claimed,
            }
            let nothing = Finding::clean(&task.image, stage.clean.row(task.index));
            return Some((task, nothing));
        }
        let targeted = stage.attack.criterion() == Criterion::ClassifiedAsTarget && target.is_some();
        let misclassified = || argmax(&finding.logits) != stage.samples.source().label(task.index);
        let to_check = finding.fooled || (targeted && misclassified());
        if !to_check {
            return Some((task, finding));
        }
        let logits = [Vec::new(), Vec::new()];
        self.waiting.push(Claim { task, target, finding, successes: 0, misclassified: 0, logits });
        None
    }

    /// Returns at most a batch of claims if it is time to check them: if they fill a batch, if they have waited long
    /// enough, or if there is nothing else to do.
    pub(crate) fn due(&mut self, batch_size: usize, idle: bool) -> Vec<Claim> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.batches += 1;
        if !idle && self.waiting.len() < batch_size && self.batches < PATIENCE {
            return Vec::new();
        }
        self.batches = 0;
        let count = self.waiting.len().min(batch_size);
        self.waiting.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use burn::tensor::Tensor;

    use super::*;
    use crate::engine::attack::{Attack, Attempt};
    use crate::engine::query::Model;
    use crate::engine::sample::Sample;
    use crate::engine::stage::tests::{drive, samples, threat};
    use crate::engine::targets::Targets;
    use crate::engine::task::Completed;
    use crate::engine::verification::{Verification, VerificationRule};
    use crate::norms::threat_model::ThreatModel;

    fn waiting(count: usize) -> Claims {
        let claim = |index| Claim {
            task: Task::new(index, Arc::from([0.5])),
            target: None,
            finding: Finding::clean(&[0.5], &[1.0, 0.0]),
            successes: 0,
            misclassified: 0,
            logits: [Vec::new(), Vec::new()],
        };
        Claims { waiting: (0..count).map(claim).collect(), batches: 0 }
    }

    #[test]
    fn claims_wait_for_a_full_batch_but_not_for_ever() {
        let due = |claims: &mut Claims, idle| -> Vec<usize> {
            claims.due(3, idle).into_iter().map(|claim| claim.task.index).collect()
        };
        assert_eq!(due(&mut waiting(3), false), [0, 1, 2]);
        let mut five = waiting(5);
        assert_eq!(due(&mut five, false), [0, 1, 2]);
        assert!(due(&mut five, false).is_empty());
        assert_eq!(due(&mut five, true), [3, 4]);
        assert!(due(&mut five, true).is_empty());
        let mut two = waiting(2);
        for batch in 1..PATIENCE {
            assert!(due(&mut two, false).is_empty(), "after {batch} batches");
        }
        assert_eq!(due(&mut two, false), [0, 1]);
    }

    /// Aims at class 2 and returns a point that its logits assign to class 1, without claiming it.
    #[derive(Debug)]
    struct OffTarget {
        point: [f32; 3],
        criterion: Criterion,
    }

    impl Attack for OffTarget {
        fn name(&self) -> String {
            "off-target".to_owned()
        }

        fn threat_model(&self) -> ThreatModel {
            threat()
        }

        fn targets(&self) -> Targets {
            Targets::Given
        }

        fn criterion(&self) -> Criterion {
            self.criterion
        }

        fn passes(&self, _classes: usize) -> u64 {
            0
        }

        fn attack<'a>(&'a self, _sample: Sample<'a>, _model: Model) -> Attempt<'a> {
            let (point, logits) = (self.point.to_vec(), vec![0.0, 1.0, 0.0]);
            Box::pin(std::future::ready(Ok(Finding { point, fooled: false, logits, loss: 0.0 })))
        }
    }

    /// The result of this attack on the image (0.5, 0.4, 0.3) of class 0, where three fresh passes predict these classes.
    fn checked(attack: &OffTarget, fresh: [usize; 3]) -> Completed {
        let pass = AtomicUsize::new(0);
        let victim = |images: Tensor<4>| {
            let mut logits = [0.0_f32; 3];
            logits[fresh[pass.fetch_add(1, Ordering::Relaxed)]] = 1.0;
            Tensor::<2>::from_floats([logits], &images.device())
        };
        let samples = samples(&[[0.5, 0.4, 0.3]]).with_targets(vec![2]).unwrap();
        drive(attack, &victim, &samples, VerificationRule::majority_of(3)).remove(0)
    }

    #[test]
    fn most_fresh_passes_decide_about_an_image_that_missed_its_target() {
        let attack = OffTarget { point: [0.45, 0.48, 0.3], criterion: Criterion::ClassifiedAsTarget };
        // Whether the target is reached, whether the image is adversarial, and the class of the logits that are returned:
        // those of the last pass that agrees with the verdict.
        for (fresh, fooled, adversarial, class) in [
            ([1, 0, 0], false, false, 0),
            ([1, 0, 1], false, true, 1),
            ([2, 1, 0], false, true, 0),
            ([2, 0, 2], true, true, 2),
            ([2, 2, 0], true, true, 2),
        ] {
            let found = checked(&attack, fresh);
            assert_eq!((found.finding.fooled, argmax(&found.finding.logits)), (fooled, class), "{fresh:?}");
            assert_eq!(found.adversarial, adversarial.then(|| attack.point.to_vec()), "{fresh:?}");
            // What reached the target in the fresh passes counts as claimed.
            let expected = Verification { claimed: fooled.into(), forwards: 3, ..Verification::default() };
            assert_eq!((found.tally.verification, found.tally.cost.forwards), (expected, 3), "{fresh:?}");
        }
    }

    #[test]
    fn an_image_that_is_not_claimed_is_checked_only_if_it_can_count() {
        for (point, criterion) in [
            // Outside the ball.
            ([0.3, 0.5, 0.3], Criterion::ClassifiedAsTarget),
            // A success that the attack did not claim.
            ([0.45, 0.48, 0.3], Criterion::Misclassified),
        ] {
            let found = checked(&OffTarget { point, criterion }, [1, 1, 1]);
            assert_eq!((found.finding.fooled, found.adversarial), (false, None), "{criterion:?}");
            assert_eq!(found.tally.verification, Verification::default(), "{criterion:?}");
        }
    }
}
