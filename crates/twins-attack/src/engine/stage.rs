use std::collections::VecDeque;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::engine::attack::Attack;
use crate::engine::claims::{Claim, Claims};
use crate::engine::goal::RunSelection;
use crate::engine::lanes::Lanes;
use crate::engine::search::{Finding, Need, Search, Step, Subject};
use crate::engine::task::{Ended, Tally, Task, Waiting, Watch, stronger};
use crate::engine::verification::VerificationRule;
use crate::error::AttackError;
use crate::model::classifier::Classifier;
use crate::model::clean::{CleanLogits, read_logits};
use crate::model::gradient::Tracked;
use crate::samples::source::SampleStream;

/// Fewer images are not worth a model call of their own.
const SMALLEST_PART: usize = 8;

/// One attack on one set of samples.
pub(crate) struct Stage<'a> {
    pub(crate) attack: &'a dyn Attack,
    pub(crate) victim: &'a (dyn Classifier + Sync),
    /// Where the victim is.
    pub(crate) device: &'a Device,
    pub(crate) samples: &'a SampleStream<'a>,
    pub(crate) clean: &'a CleanLogits,
    /// Decides whether a claim counts.
    pub(crate) rule: VerificationRule,
}

/// A sample under attack: its place in the batch is given to the next sample when its last run has ended.
struct Slot<'a> {
    task: Task,
    search: Box<dyn Search + 'a>,
    step: Step,
}

impl<'a> Stage<'a> {
    /// Attacks the samples `standing`, and hands over each one's result as soon as it is known.
    ///
    /// At most one batch of samples is under way at a time. They need not be at the same iteration or even in the same
    /// run, so that a slot never idles while another sample waits.
    pub(crate) fn drive(&self, standing: &[usize], watch: &mut dyn Watch) -> Result<(), AttackError> {
        let calls = self.concurrent_calls(self.samples.concurrent_calls(self.device));
        self.drive_waiting(&Waiting::new(standing), self.samples.batch_size(), calls, watch)
    }

    /// How many calls of the model are made at the same time where `wanted` are possible. One, if passes are repeated for
    /// the sake of a randomised model, so that its random numbers come in the same order each time.
    pub(crate) fn concurrent_calls(&self, wanted: usize) -> usize {
        if self.attack.repeats() > 1 { 1 } else { wanted }
    }

    /// The same for samples that others may take up too, with so many slots and concurrent calls.
    pub(crate) fn drive_waiting(
        &self,
        waiting: &Waiting,
        places: usize,
        calls: usize,
        watch: &mut dyn Watch,
    ) -> Result<(), AttackError> {
        if self.attack.threat_model().epsilon() == 0.0 {
            while let Some(index) = waiting.next() {
                let image = self.samples.load(index)?;
                let logits = self.clean.row(index).to_vec();
                let (point, loss) = (image.to_vec(), f32::NEG_INFINITY);
                let finding = Finding { point, fooled: false, target: None, logits, loss };
                watch.finished(Ended { index, image, finding, tally: Tally::default() })?;
            }
            return Ok(());
        }
        let (runs, selection) = (self.attack.runs(self.clean.classes()), self.attack.run_selection());
        let lanes = Lanes::new(calls);
        let mut slots: Vec<Slot<'a>> = Vec::new();
        let mut claims = Claims::default();
        // Samples with runs left.
        let mut again: VecDeque<Task> = VecDeque::new();
        loop {
            let old = again.len().min(places - slots.len());
            let new = waiting.take(places - slots.len() - old);
            for task in again.drain(..old) {
                slots.push(self.start(task)?);
            }
            for (&index, image) in new.iter().zip(self.samples.load_all(&new)?) {
                slots.push(self.start(Task::new(index, image))?);
            }
            let idle = slots.is_empty();
            if idle && claims.is_empty() {
                return Ok(());
            }
            let calls = self.tick(&mut slots, &lanes)?;
            let mut ended = Vec::new();
            let mut kept = Vec::with_capacity(slots.len());
            for mut slot in slots {
                if slot.step == Step::Ask {
                    kept.push(slot);
                    continue;
                }
                slot.task.run += 1;
                let finding = slot.search.finish();
                if finding.fooled {
                    ended.extend(claims.take(self, slot.task, finding));
                } else {
                    ended.push((slot.task, finding));
                }
            }
            slots = kept;
            let mut due = claims.due(places, idle);
            let fresh = self.verify(&mut due, &lanes)?;
            ended.extend(due.into_iter().map(|claim| claim.settle(self)));
            for (mut task, finding) in ended {
                let finding = stronger(task.best.take(), finding, selection);
                let settled = finding.fooled && selection == RunSelection::FirstFooled;
                if settled || task.run == runs {
                    let Task { index, image, tally, .. } = task;
                    watch.finished(Ended { index, image, finding, tally })?;
                } else {
                    task.best = Some(finding);
                    again.push_back(task);
                }
            }
            let tasks = slots.iter().map(|slot| &slot.task).chain(&again);
            let under_way: u64 = tasks.map(|task| task.tally.cost.forwards).sum();
            watch.ticked(calls + fresh, under_way + claims.forwards())?;
        }
    }

    /// Starts the next run on a sample.
    fn start(&self, task: Task) -> Result<Slot<'a>, AttackError> {
        let (source, index) = (self.samples.source(), task.index);
        let search = self.attack.search(
            &Subject {
                id: source.id(index),
                image: task.image.clone(),
                shape: source.image_shape(),
                label: source.label(index),
                target: source.target(index),
                start: source.start(index),
                clean: self.clean.row(index),
            },
            task.run,
        )?;
        Ok(Slot { task, search, step: Step::Ask })
    }

    /// Answers the questions of one kind, of which more searches wait; the others keep theirs for a later tick.
    ///
    /// Returns how many images went through the model.
    fn tick(&self, slots: &mut [Slot<'a>], lanes: &Lanes) -> Result<u64, AttackError> {
        let wanting_gradient = slots.iter().filter(|slot| slot.search.need() == Need::Gradient).count();
        let need = if 2 * wanting_gradient >= slots.len() { Need::Gradient } else { Need::Logits };
        let mut asking: Vec<&mut Slot<'a>> =
            slots.iter_mut().filter(|slot| slot.search.need() == need).collect();
        let part = asking.len().div_ceil(lanes.count()).max(SMALLEST_PART);
        let jobs = asking.chunks_mut(part).map(|part| || self.answer(part, need)).collect();
        lanes.run(jobs).into_iter().sum()
    }

    /// Puts the points of these searches to the model in one call, and hands them the answers.
    fn answer(&self, asking: &mut [&mut Slot<'a>], need: Need) -> Result<u64, AttackError> {
        let ids: Vec<u64> = asking.iter().map(|slot| self.samples.source().id(slot.task.index)).collect();
        let row: usize = self.samples.source().image_shape().iter().product();
        let mut pixels = Vec::with_capacity(asking.len() * row);
        asking.iter().for_each(|slot| pixels.extend_from_slice(slot.search.point()));
        let images = self.samples.upload_to(pixels, self.device);

        let (logits, gradients) = match need {
            Need::Logits => (read_logits(self.victim.logits(images).inner(), &ids)?, Vec::new()),
            Need::Gradient => self.gradients(asking, images, &ids)?,
        };
        let classes = self.clean.classes();
        let repeats = if need == Need::Gradient { self.attack.repeats() as u64 } else { 1 };
        let gradients = |i: usize| gradients.get(i * row..(i + 1) * row).unwrap_or(&[]);
        asking.par_iter_mut().with_min_len(4).enumerate().for_each(|(i, slot)| {
            slot.step = slot.search.answer(&logits[i * classes..(i + 1) * classes], gradients(i));
            let cost = &mut slot.task.tally.cost;
            cost.forwards += repeats;
            cost.backwards += if need == Need::Gradient { repeats } else { 0 };
        });
        Ok(asking.len() as u64 * repeats)
    }

    /// Runs the images of claims through the model anew. Returns how many images went through the model.
    fn verify(&self, claims: &mut [Claim], lanes: &Lanes) -> Result<u64, AttackError> {
        let part = claims.len().div_ceil(lanes.count()).max(SMALLEST_PART);
        let jobs = claims.chunks_mut(part).map(|part| || self.run_anew(part)).collect();
        lanes.run(jobs).into_iter().sum()
    }

    /// The fresh passes over one part of the claims.
    fn run_anew(&self, claims: &mut [Claim]) -> Result<u64, AttackError> {
        let ids: Vec<u64> = claims.iter().map(|claim| self.samples.source().id(claim.task.index)).collect();
        let pixels: Vec<f32> = claims.iter().flat_map(|claim| &claim.finding().point).copied().collect();
        let images = self.samples.upload_to(pixels, self.device);
        for _ in 0..self.rule.fresh_draws {
            let logits = read_logits(self.victim.logits(images.clone()).inner(), &ids)?;
            for (claim, logits) in claims.iter_mut().zip(logits.chunks(self.clean.classes())) {
                claim.judge(self.samples.source().label(claim.task.index), logits);
            }
        }
        Ok((claims.len() * self.rule.fresh_draws) as u64)
    }

    /// Logits and input gradients, the gradients averaged over the repetitions and the logits those of the last.
    fn gradients(
        &self,
        asking: &mut [&mut Slot<'a>],
        images: Tensor<4>,
        ids: &[u64],
    ) -> Result<(Vec<f32>, Vec<f32>), AttackError> {
        let classes = self.clean.classes();
        let repeats = self.attack.repeats();
        let (mut logits, mut sum) = (Vec::new(), Vec::new());
        for _ in 0..repeats {
            let tracked = Tracked::forward(self.victim, images.clone())?;
            logits = read_logits(tracked.logits(), ids)?;
            let mut cotangents = vec![0.0; logits.len()];
            for ((slot, z), c) in
                asking.iter_mut().zip(logits.chunks(classes)).zip(cotangents.chunks_mut(classes))
            {
                slot.search.cotangent(z, c);
            }
            let cotangents = TensorData::new(cotangents, [asking.len(), classes]);
            let gradient = tracked.gradient(Tensor::from_data(cotangents, self.device))?;
            let gradient = gradient.try_into_vec_as::<f32>()?;
            if sum.is_empty() {
                sum = gradient;
            } else {
                sum.iter_mut().zip(&gradient).for_each(|(s, g)| *s += g);
            }
        }
        if repeats > 1 {
            sum.iter_mut().for_each(|s| *s /= repeats as f32);
        }
        // Where the model is not differentiable the gradient may be NaN: such a value tells nothing.
        sum.iter_mut().filter(|g| !g.is_finite()).for_each(|g| *g = 0.0);
        Ok((logits, sum))
    }
}
