use std::ops::ControlFlow;
use std::time::Instant;

use super::journal::write::JournalWriter;
use super::outcome::Outcome;
use super::progress::{Observer, Progress};
use super::report::StageReport;
use super::stages::Stage;
use super::threats::Threats;
use super::verdicts::Verdicts;
use crate::engine::task::{Completed, Results};
use crate::error::AttackError;

/// Passes the results of one stage to the verdicts, the stage's report, the journal and the observer.
pub(super) struct Recorder<'a, 'b> {
    pub(super) verdicts: &'a mut Verdicts<'b>,
    pub(super) journal: Option<&'a mut JournalWriter>,
    pub(super) observer: &'a mut dyn Observer,
    pub(super) report: &'a mut StageReport,
    pub(super) threats: &'a Threats,
    pub(super) stage: &'a Stage<'a>,
    /// Index of the stage.
    pub(super) place: usize,
    /// The number of samples of this stage whose outcome is not known yet.
    pub(super) open: usize,
    /// Seconds that the stage had taken before the evaluation was resumed.
    pub(super) earlier: f64,
    pub(super) begin: Instant,
    pub(super) work: &'a mut Work,
}

/// The model calls of an evaluation, for the estimate of the remaining time.
pub(super) struct Work {
    pub(super) begin: Instant,
    /// The calls made since the evaluation was started or resumed.
    pub(super) calls: u64,
    /// The calls that each stage needs for a sample that it does not fool, and the index of the stage's threat model.
    pub(super) budgets: Vec<(u64, usize)>,
}

impl Recorder<'_, '_> {
    /// Records an outcome, either a new one or one read from the journal.
    pub(super) fn take(&mut self, outcome: &Outcome) {
        self.open = self.open.saturating_sub(1);
        self.report.success += usize::from(outcome.success);
        self.report.broken += usize::from(outcome.broken());
        self.report.forwards = self.report.forwards.saturating_add(outcome.forwards);
        self.report.backwards = self.report.backwards.saturating_add(outcome.backwards);
        self.report.verification += outcome.verification;
        self.verdicts.take(outcome, self.stage.threat);
    }
}

impl Results for Recorder<'_, '_> {
    fn completed(&mut self, completed: Completed) -> Result<(), AttackError> {
        let Completed { index, image, success, adversarial, tally, .. } = completed;
        let distances =
            adversarial.as_ref().map_or(Vec::new(), |found| self.threats.distances(&image, found));
        let outcome = Outcome {
            stage: self.place,
            sample: index,
            success,
            nearest: adversarial.is_some() && self.verdicts.is_nearer(index, &distances),
            distances,
            adversarial,
            forwards: tally.cost.forwards,
            backwards: tally.cost.backwards,
            verification: tally.verification,
            seconds: self.earlier + self.begin.elapsed().as_secs_f64(),
        };
        self.take(&outcome);
        if let Some(journal) = &mut self.journal {
            journal.append(&outcome)?;
        }
        continue_unless_stopped(self.observer.outcome(&outcome))
    }

    fn progressed(&mut self, calls: u64, under_way: u64) -> Result<(), AttackError> {
        let Work { begin, calls: made, budgets } = &mut *self.work;
        *made += calls;
        let now = (self.open as u64).saturating_mul(budgets[self.place].0).saturating_sub(under_way);
        let later = |(budget, threat): &(u64, usize)| {
            budget.saturating_mul(self.verdicts.to_attack_count(*threat) as u64)
        };
        let left = budgets[self.place + 1..].iter().map(later).fold(now, u64::saturating_add);
        let progress = Progress {
            attack: &self.report.attack,
            stage: (self.place, budgets.len()),
            finished: (self.report.attacked - self.open, self.report.attacked),
            surviving: (self.verdicts.robust_to_all(), self.verdicts.len()),
            fraction: *made as f64 / made.saturating_add(left).max(1) as f64,
            elapsed: begin.elapsed().as_secs_f64(),
        };
        continue_unless_stopped(self.observer.progress(&progress))
    }
}

fn continue_unless_stopped(flow: ControlFlow<()>) -> Result<(), AttackError> {
    if flow.is_break() { Err(AttackError::Stopped) } else { Ok(()) }
}
