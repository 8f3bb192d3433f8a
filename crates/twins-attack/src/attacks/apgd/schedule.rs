use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// The schedule of one sample: when the checkpoints are, and how the step size changes there.
pub(super) struct Schedule {
    threat: ThreatModel,
    steps: usize,
    rho: f32,
    /// Length of a step.
    pub(super) step_size: f32,
    /// The number of values that an L1 step changes.
    pub(super) l1_support: usize,
    interval: usize,
    since_checkpoint: usize,
    rises: usize,
    previous_loss: f32,
    best_at_checkpoint: f32,
    reduced_at_checkpoint: bool,
    /// The number of values in which the best point differed from the clean image at the last checkpoint (L1).
    changed: f32,
}

/// The longest step: epsilon in L1, twice epsilon in the other norms.
fn longest_step(threat: &ThreatModel) -> f32 {
    if threat.norm() == Norm::L1 { threat.reach() } else { 2.0 * threat.reach() }
}

/// The fraction of the values that an L1 step changes while the sparsity of the solution is unknown.
const FIRST_L1_FRACTION: f32 = 0.2;

/// The fraction of the values that an L1 step changes when the best point differs from the clean image in `changed` of
/// them.
fn l1_fraction(changed: f32, values: usize) -> f32 {
    changed / values as f32 / 1.5
}

/// Converts this fraction to a number of values.
fn l1_support(fraction: f32, values: usize) -> usize {
    let values = values as f32;
    let first = ((1.0 - fraction) * values).clamp(0.0, values - 1.0) as usize;
    values as usize - first
}

impl Schedule {
    /// The schedule of a run of `steps` from a start with the loss `start_loss`. The start changes `changed` of the
    /// image's values; `None` means a random start.
    pub(super) fn new(
        threat: ThreatModel,
        steps: usize,
        rho: f32,
        start_loss: f32,
        changed: Option<usize>,
        values: usize,
    ) -> Self {
        let fraction = changed.map_or(FIRST_L1_FRACTION, |changed| l1_fraction(changed as f32, values));
        let first = if threat.norm() == Norm::L1 { 4 } else { 22 };
        Self {
            step_size: longest_step(&threat),
            l1_support: l1_support(fraction, values),
            interval: (first * steps / 100).max(1),
            since_checkpoint: 0,
            rises: 0,
            // As in the reference, the first step's loss is compared with zero, not with the loss of the start.
            previous_loss: 0.0,
            best_at_checkpoint: start_loss,
            reduced_at_checkpoint: true,
            changed: changed.unwrap_or(values) as f32,
            threat,
            steps,
            rho,
        }
    }

    /// Records the loss after a step. Returns whether the search should resume from its best point.
    ///
    /// `changed` counts the values in which the best point differs from the clean image.
    pub(super) fn after_step(
        &mut self,
        loss: f32,
        best_loss: f32,
        changed: impl FnOnce() -> usize,
        values: usize,
    ) -> bool {
        self.rises += usize::from(loss > self.previous_loss);
        self.previous_loss = loss;
        self.since_checkpoint += 1;
        if self.since_checkpoint < self.interval {
            return false;
        }
        let window = std::mem::take(&mut self.since_checkpoint);
        let rises = std::mem::take(&mut self.rises);
        if self.threat.norm() == Norm::L1 {
            return self.l1_checkpoint(changed() as f32, values);
        }
        let oscillates = rises as f32 <= window as f32 * self.rho;
        let stuck = !self.reduced_at_checkpoint && self.best_at_checkpoint >= best_loss;
        self.reduced_at_checkpoint = oscillates || stuck;
        self.best_at_checkpoint = best_loss;
        if self.reduced_at_checkpoint {
            self.step_size /= 2.0;
        }
        self.interval =
            self.interval.saturating_sub((3 * self.steps / 100).max(1)).max((6 * self.steps / 100).max(1));
        self.reduced_at_checkpoint
    }

    /// The checkpoint in L1. If the best point has become sparser, the search resumes from it with the longest step.
    fn l1_checkpoint(&mut self, changed: f32, values: usize) -> bool {
        let sparser = changed / self.changed < 0.95;
        let longest = longest_step(&self.threat);
        self.step_size = if sparser { longest } else { (self.step_size / 1.5).max(longest / 10.0) };
        self.l1_support = l1_support(l1_fraction(changed, values), values);
        self.changed = changed;
        sparser
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoints(norm: Norm, steps: usize) -> Vec<usize> {
        let threat = ThreatModel::new(norm, 1.0).unwrap();
        let mut schedule = Schedule::new(threat, steps, 0.75, 0.0, Some(10), 10);
        let passed = |_: &usize| {
            schedule.after_step(0.0, 0.0, || 10, 10);
            schedule.since_checkpoint == 0
        };
        (1..=steps).filter(passed).collect()
    }

    #[test]
    fn checkpoints_are_the_published_ones() {
        assert_eq!(checkpoints(Norm::Linf, 100), [22, 41, 57, 70, 80, 87, 93, 99]);
        assert_eq!(checkpoints(Norm::L2, 50)[..2], [11, 21]);
        assert_eq!(checkpoints(Norm::L1, 30)[..3], [1, 2, 3]);
    }

    #[test]
    fn the_step_is_halved_when_the_loss_oscillates_or_sticks() {
        let threat = ThreatModel::new(Norm::Linf, 0.25).unwrap();
        let mut schedule = Schedule::new(threat, 10, 0.75, 1.0, Some(0), 4);
        // Checkpoints after 2, 3, 4, ...: the first sees two rises, and the best loss 3.
        assert!(!schedule.after_step(2.0, 2.0, || 0, 4));
        assert!(!schedule.after_step(3.0, 3.0, || 0, 4));
        assert_eq!(schedule.step_size, 0.5);
        // A fall in a window of one step.
        assert!(schedule.after_step(2.5, 3.0, || 0, 4));
        assert_eq!(schedule.step_size, 0.25);
        // A rise, though below the best loss: just reduced, so not reduced again, but then it is.
        assert!(!schedule.after_step(2.6, 3.0, || 0, 4));
        assert!(schedule.after_step(2.7, 3.0, || 0, 4));
        assert_eq!(schedule.step_size, 0.125);
    }

    #[test]
    fn an_equal_loss_is_no_rise() {
        let threat = ThreatModel::new(Norm::Linf, 0.5).unwrap();
        let mut schedule = Schedule::new(threat, 10, 0.75, 1.0, Some(0), 4);
        // One rise in the two steps until the first checkpoint.
        assert!(!schedule.after_step(2.0, 2.0, || 0, 4));
        assert!(schedule.after_step(2.0, 2.0, || 0, 4));
    }

    #[test]
    fn a_sparser_best_point_brings_back_the_long_step() {
        let threat = ThreatModel::new(Norm::L1, 1.0).unwrap();
        let mut schedule = Schedule::new(threat, 25, 0.75, 0.0, Some(100), 150);
        assert_eq!(schedule.l1_support, 67);
        // 95 % of the values are not fewer than 95 %.
        assert!(!schedule.after_step(0.0, 0.0, || 95, 150));
        assert!((schedule.step_size - 1.0 / 1.5).abs() < 1e-6);
        assert!(schedule.after_step(0.0, 0.0, || 60, 150));
        assert_eq!((schedule.step_size, schedule.l1_support), (1.0, 40));
        for _ in 0..9 {
            schedule.after_step(0.0, 0.0, || 60, 150);
        }
        assert!((schedule.step_size - 0.1).abs() < 1e-6);
        // A step changes at least one value.
        assert_eq!(l1_support(0.0, 150), 1);
    }
}
