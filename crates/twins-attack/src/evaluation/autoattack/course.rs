use std::time::Instant;

use super::report::wilson_interval;
use super::{AutoAttack, Count, Outcome, Progress, Report, SampleRecord, StageReport, Warning};
use crate::engine::attack::Attack;
use crate::engine::task::Cost;
use crate::losses::ranking::argmax;
use crate::model::clean::CleanLogits;
use crate::samples::source::SampleStream;

/// What an evaluation knows so far.
pub(super) struct Course<'a> {
    samples: &'a SampleStream<'a>,
    predictions: Vec<usize>,
    /// By what, and how far from the clean image, each sample was broken.
    broken: Vec<Option<(String, f32)>>,
    /// Whether a sample's outcome in the present stage is open.
    open: Vec<bool>,
    reports: Vec<StageReport>,
    stages: usize,
    attacked: usize,
    begin: Instant,
    /// Model calls: made in this session, needed by a withstanding sample in this stage and in the later ones.
    calls: u64,
    calls_now: u64,
    calls_later: u64,
}

impl<'a> Course<'a> {
    pub(super) fn new(
        samples: &'a SampleStream<'a>,
        clean: &CleanLogits,
        begin: Instant,
        stages: usize,
    ) -> Self {
        let predictions: Vec<usize> = clean.rows().map(argmax).collect();
        let wrong = |(index, prediction): (usize, &usize)| {
            (*prediction != samples.source().label(index)).then(|| ("clean".to_string(), 0.0))
        };
        Self {
            samples,
            broken: predictions.iter().enumerate().map(wrong).collect(),
            predictions,
            open: vec![false; samples.len()],
            reports: Vec::new(),
            stages,
            attacked: 0,
            begin,
            calls: 0,
            calls_now: 0,
            calls_later: 0,
        }
    }

    /// Opens the outcomes of the samples still standing; returns how many there are.
    pub(super) fn begin_stage(
        &mut self,
        attack: &dyn Attack,
        later: &[Box<dyn Attack>],
        classes: usize,
    ) -> usize {
        self.open = self.broken.iter().map(Option::is_none).collect();
        self.attacked = self.standing();
        self.calls_now = attack.budget(classes);
        self.calls_later = later.iter().map(|attack| attack.budget(classes)).sum();
        self.attacked
    }

    /// Takes an outcome of the present stage.
    pub(super) fn take(&mut self, outcome: &Outcome, attack: &str) {
        let index = outcome.sample;
        self.open[index] = false;
        if let Some(distance) = outcome.distance {
            self.broken[index] = Some((attack.to_string(), distance));
        }
    }

    pub(super) fn end_stage(&mut self, report: StageReport) {
        self.reports.push(report);
    }

    /// Place of the present stage.
    pub(super) fn stage(&self) -> usize {
        self.reports.len()
    }

    /// How many samples are right so far.
    pub(super) fn standing(&self) -> usize {
        self.broken.iter().filter(|broken| broken.is_none()).count()
    }

    /// The samples whose outcome in this stage is open.
    pub(super) fn waiting(&self) -> Vec<usize> {
        (0..self.open.len()).filter(|&i| self.open[i]).collect()
    }

    pub(super) fn count(&mut self, calls: u64) {
        self.calls += calls;
    }

    pub(super) fn progress<'b>(&self, attack: &'b str, under_way: u64) -> Progress<'b> {
        let open = self.open.iter().filter(|open| **open).count();
        let standing = self.standing();
        let rest =
            (open as u64 * self.calls_now).saturating_sub(under_way) + standing as u64 * self.calls_later;
        Progress {
            attack,
            stage: (self.stage(), self.stages),
            finished: (self.attacked - open, self.attacked),
            standing: (standing, self.samples.len()),
            share: self.calls as f64 / (self.calls + rest).max(1) as f64,
            elapsed: self.begin.elapsed().as_secs_f64(),
        }
    }

    pub(super) fn finish(self, autoattack: &AutoAttack, warnings: Vec<Warning>, total: Cost) -> Report {
        let (source, len) = (self.samples.source(), self.samples.len());
        let right = (0..len).filter(|&index| self.predictions[index] == source.label(index)).count();
        let robust = Count { correct: self.standing(), total: len };
        let records = self.broken.into_iter().enumerate().map(|(i, broken)| {
            let (broken_by, distance) = broken.unzip();
            SampleRecord {
                index: source.id(i),
                label: source.label(i),
                clean_prediction: self.predictions[i],
                broken_by,
                distance,
            }
        });
        Report {
            clean: Count { correct: right, total: len },
            stages: self.reports,
            robust,
            interval: wilson_interval(robust.correct, robust.total),
            config: autoattack.config.clone(),
            verification: autoattack.verification_rule(),
            warnings,
            forwards: total.forwards,
            backwards: total.backwards,
            samples: records.collect(),
        }
    }
}
