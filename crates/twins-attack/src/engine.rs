use std::collections::VecDeque;
use std::ops::AddAssign;
use std::sync::{Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::clean::{CleanLogits, read_logits};
use crate::gradient::Tracked;
use crate::lanes::Lanes;
use crate::{Attack, AttackError, Classifier, Finding, Need, Samples, Search, Step, Subject};

/// Fewer images are not worth a model call of their own.
const SMALLEST_PART: usize = 8;

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

/// Somebody who takes what a stage finds out.
pub(crate) trait Watch {
    /// A sample's search has ended.
    fn finished(&mut self, index: usize, finding: Finding, cost: Cost) -> Result<(), AttackError>;

    /// A batch has been through the model; `under_way` is what the unfinished samples have cost so far.
    fn ticked(&mut self, calls: u64, under_way: u64) -> Result<(), AttackError> {
        let _ = (calls, under_way);
        Ok(())
    }
}

/// One attack on one set of samples.
pub(crate) struct Stage<'a> {
    pub(crate) attack: &'a dyn Attack,
    pub(crate) victim: &'a (dyn Classifier + Sync),
    /// Where the victim is.
    pub(crate) device: &'a Device,
    pub(crate) samples: &'a Samples,
    pub(crate) clean: &'a CleanLogits,
}

/// The samples that no slot has taken up.
pub(crate) struct Waiting(Mutex<VecDeque<usize>>);

impl Waiting {
    pub(crate) fn new(standing: &[usize]) -> Self {
        Self(Mutex::new(standing.iter().copied().collect()))
    }

    fn next(&self) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// A sample under attack: its place in the batch is given to the next sample when its last run has ended.
struct Slot<'a> {
    index: usize,
    run: usize,
    search: Box<dyn Search + 'a>,
    step: Step,
    cost: Cost,
}

impl<'a> Stage<'a> {
    /// Attacks the samples `standing`, and hands over each one's result as soon as it is known.
    ///
    /// At most one batch of samples is under way at a time. They need not be at the same iteration or even in the same
    /// run, so that a slot never idles while another sample waits.
    pub(crate) fn drive(&self, standing: &[usize], watch: &mut dyn Watch) -> Result<(), AttackError> {
        let calls = if self.alone() { 1 } else { self.samples.concurrent_calls() };
        self.drive_waiting(&Waiting::new(standing), self.samples.batch_size(), calls, watch)
    }

    /// Whether the model must be asked one call at a time: a tracked model's weights would join the graphs of all calls
    /// into one, which they would then wait for; and the random numbers of a randomised model would come in another
    /// order each time.
    pub(crate) fn alone(&self) -> bool {
        self.clean.tracked() || self.attack.repeats() > 1
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
                let point = self.samples.image(index).to_vec();
                let logits = self.clean.row(index).to_vec();
                watch.finished(index, Finding { point, fooled: false, logits }, Cost::default())?;
            }
            return Ok(());
        }
        let runs = self.attack.runs(self.clean.classes());
        let lanes = Lanes::new(calls);
        let mut slots: Vec<Slot<'a>> = Vec::new();
        loop {
            while slots.len() < places {
                let Some(index) = waiting.next() else { break };
                slots.push(Slot {
                    index,
                    run: 0,
                    search: self.start(index, 0)?,
                    step: Step::Ask,
                    cost: Cost::default(),
                });
            }
            if slots.is_empty() {
                return Ok(());
            }
            let calls = self.tick(&mut slots, &lanes)?;
            let mut kept = Vec::with_capacity(slots.len());
            for mut slot in slots {
                if slot.step == Step::Done {
                    let finding = slot.search.finish();
                    slot.run += 1;
                    if finding.fooled || slot.run == runs {
                        watch.finished(slot.index, finding, slot.cost)?;
                        continue;
                    }
                    slot.search = self.start(slot.index, slot.run)?;
                    slot.step = Step::Ask;
                }
                kept.push(slot);
            }
            slots = kept;
            watch.ticked(calls, slots.iter().map(|slot| slot.cost.forwards).sum())?;
        }
    }

    fn start(&self, index: usize, run: usize) -> Result<Box<dyn Search + 'a>, AttackError> {
        let samples = self.samples;
        self.attack.search(
            &Subject {
                id: samples.ids()[index],
                image: samples.image(index),
                shape: samples.image_shape(),
                label: samples.labels()[index],
                target: samples.target(index),
                start: samples.start(index),
                clean: self.clean.row(index),
            },
            run,
        )
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
        let ids: Vec<u64> = asking.iter().map(|slot| self.samples.ids()[slot.index]).collect();
        let row = self.samples.image(0).len();
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
            slot.cost.forwards += repeats;
            slot.cost.backwards += if need == Need::Gradient { repeats } else { 0 };
        });
        Ok(asking.len() as u64 * repeats)
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
