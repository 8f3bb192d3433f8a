use std::collections::VecDeque;

use burn::tensor::Device;
use rayon::prelude::*;

use super::attack::Attack;
use super::batch::SMALLEST_PART;
use super::claims::{Claim, Claims};
use super::finding::{Finding, RunSelection};
use super::lanes::Lanes;
use super::sample::Sample;
use super::slot::Slot;
use super::task::{Completed, Results, Tally, Task, Waiting};
use super::verification::VerificationRule;
use crate::error::AttackError;
use crate::model::classifier::Classifier;
use crate::model::clean::{CleanLogits, read_logits};
use crate::samples::source::SampleStream;

/// One attack on one set of samples.
pub(crate) struct Stage<'a> {
    pub(crate) attack: &'a dyn Attack,
    pub(crate) victim: &'a (dyn Classifier + Sync),
    /// The device of the victim.
    pub(crate) device: &'a Device,
    pub(crate) samples: &'a SampleStream<'a>,
    pub(crate) clean: &'a CleanLogits,
    /// The rule that decides whether a claim counts.
    pub(crate) rule: VerificationRule,
    /// The number of earlier stages with the same attack name and threat model. It makes their random draws differ.
    pub(crate) occurrence: usize,
}

impl<'a> Stage<'a> {
    /// Attacks the surviving samples, whose indices are `standing`, and passes each result to `results` as soon as it
    /// is known.
    pub(crate) fn drive(&self, standing: &[usize], results: &mut dyn Results) -> Result<(), AttackError> {
        let calls = self.concurrent_calls(self.samples.concurrent_calls(self.device));
        self.drive_waiting(&Waiting::new(standing), self.samples.batch_size(), calls, results)
    }

    /// The number of batches in flight on the device. It is one if passes are repeated for a randomised model, so that
    /// the model draws its random numbers in the same order each time.
    pub(super) fn batches_in_flight(&self) -> usize {
        if self.attack.eot() > 1 { 1 } else { self.samples.batches_in_flight(self.device) }
    }

    /// The number of repeated passes over a batch that are queued on the device before their logits are read. They take
    /// the memory of as many batches in flight; with repeated passes, there is only one.
    pub(super) fn passes_per_read(&self) -> usize {
        self.samples.batches_in_flight(self.device)
    }

    /// The number of model calls that are made at the same time if `wanted` are possible. It is one if passes are
    /// repeated, for the same reason.
    pub(crate) fn concurrent_calls(&self, wanted: usize) -> usize {
        if self.attack.eot() > 1 { 1 } else { wanted }
    }

    /// Attacks samples that other workers may take too, with at most `calls` concurrent model calls.
    ///
    /// At most `places` samples are under attack at a time. They need not be at the same iteration, or even in the same
    /// run, so a slot is never idle while a sample is waiting.
    pub(crate) fn drive_waiting(
        &self,
        waiting: &Waiting,
        places: usize,
        calls: usize,
        results: &mut dyn Results,
    ) -> Result<(), AttackError> {
        if self.attack.threat_model().epsilon() == 0.0 {
            return self.keep_clean(waiting, results);
        }
        let (runs, selection) = (self.attack.runs(self.clean.classes()), self.attack.run_selection());
        let lanes = Lanes::new(calls);
        let mut slots: Vec<Slot<'a>> = Vec::new();
        let mut claims = Claims::default();
        // Samples that have runs left.
        let mut again: VecDeque<Task> = VecDeque::new();
        loop {
            let old = again.len().min(places - slots.len());
            let new = waiting.take(places - slots.len() - old);
            let images = self.samples.load_all(&new)?;
            let mut tasks: Vec<Task> = again.drain(..old).collect();
            tasks.extend(new.into_iter().zip(images).map(|(index, image)| Task::new(index, image)));
            slots.par_extend(tasks.into_par_iter().map(|task| self.begin(task)));
            let idle = slots.is_empty();
            if idle && claims.is_empty() {
                return Ok(());
            }
            let images = self.run_queries(&mut slots, &lanes)?;
            let (waiting_slots, finished): (Vec<_>, Vec<_>) =
                slots.into_iter().partition(|slot| slot.need().is_some());
            slots = waiting_slots;
            let mut ended = Vec::new();
            for slot in finished {
                let (mut task, run) = slot.end();
                task.run += 1;
                let (target, finding) = run?;
                ended.extend(claims.take(self, task, target, finding));
            }
            let mut due = claims.due(places, idle);
            let fresh = self.verify(&mut due, &lanes)?;
            ended.extend(due.into_iter().map(|claim| claim.settle(self)));
            for (mut task, finding) in ended {
                let finding = selection.combine(task.best.take(), finding);
                let settled = finding.fooled && selection == RunSelection::FirstFooled;
                if settled || task.run == runs {
                    let Task { index, image, tally, off_target, .. } = task;
                    let adversarial = if finding.fooled { Some(finding.point.clone()) } else { off_target };
                    results.completed(Completed { index, image, finding, adversarial, tally })?;
                } else {
                    task.best = Some(finding);
                    again.push_back(task);
                }
            }
            let tasks = slots.iter().map(|slot| &slot.task).chain(&again);
            let under_way: u64 = tasks.map(|task| task.tally.cost.forwards).sum();
            results.progressed(images + fresh, under_way + claims.forwards())?;
        }
    }

    /// Returns the clean images as the results, because the threat model allows no other image.
    fn keep_clean(&self, waiting: &Waiting, results: &mut dyn Results) -> Result<(), AttackError> {
        while let Some(index) = waiting.next() {
            let image = self.samples.load(index)?;
            let finding = Finding::clean(&image, self.clean.row(index));
            let tally = Tally::default();
            results.completed(Completed { index, image, finding, adversarial: None, tally })?;
        }
        Ok(())
    }

    /// Begins the next run on a sample.
    fn begin(&self, task: Task) -> Slot<'a> {
        let (source, index) = (self.samples.source(), task.index);
        let sample = Sample {
            id: source.id(index),
            image: task.image.clone(),
            shape: source.image_shape(),
            label: source.label(index),
            target: source.target(index),
            start: source.start(index),
            clean: self.clean.row(index),
            run: task.run,
            occurrence: self.occurrence,
            restart: task.run / self.attack.targets().runs(self.clean.classes()),
            malt_order: task.malt_order.clone(),
        };
        Slot::begin(task, self.attack, sample)
    }

    /// Runs the images of claims through the model again. Returns the number of images that went through the model.
    fn verify(&self, claims: &mut [Claim], lanes: &Lanes) -> Result<u64, AttackError> {
        let part = claims.len().div_ceil(lanes.count()).max(SMALLEST_PART);
        let jobs = claims.chunks_mut(part).map(|part| || self.fresh_passes(part)).collect();
        lanes.run(jobs).into_iter().sum()
    }

    /// Makes the fresh passes over one part of the claims.
    fn fresh_passes(&self, claims: &mut [Claim]) -> Result<u64, AttackError> {
        let ids: Vec<u64> = claims.iter().map(|claim| self.samples.source().id(claim.task.index)).collect();
        let pixels: Vec<f32> = claims.iter().flat_map(|claim| claim.point()).copied().collect();
        let images = self.samples.upload_to(pixels, self.device);
        for _ in 0..self.rule.fresh_draws {
            let logits = read_logits(self.victim.logits(images.clone()).inner(), &ids)?;
            for (claim, logits) in claims.iter_mut().zip(logits.chunks(self.clean.classes())) {
                let label = self.samples.source().label(claim.task.index);
                claim.judge(self.attack.criterion(), label, logits);
            }
        }
        Ok((claims.len() * self.rule.fresh_draws) as u64)
    }
}
