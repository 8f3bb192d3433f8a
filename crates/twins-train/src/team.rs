use std::collections::BTreeSet;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Device;
use twins_attack::AttackError;
use twins_data::Batch;
use twins_nn::Wing;

use crate::awp::ascended;
use crate::checkpoint::Checkpoint;
use crate::devices::{Devices, Panicked};
use crate::division::Division;
use crate::pass::Measured;
use crate::share::{Maker, Part, Share};
use crate::statistics::{Statistics, statistic_paths};
use crate::{ImageClassifier, Objective, TrainConfig};

/// The devices of a training, and how they divide a step.
///
/// A step of several parts leaves the model itself untouched until it is known to be finite: every part is computed by a copy
/// that starts from the weights and the device's running statistics.
pub(crate) struct Team {
    pub(crate) devices: Devices,
    /// How a step is divided among them.
    pub(crate) division: Division,
    synchronise: bool,
    /// Of the model's running statistics.
    paths: BTreeSet<String>,
    /// The running statistics of the devices behind the main one, whose own are the model's; `None`: still those too.
    pub(crate) further: Vec<Option<Statistics>>,
}

/// What the parts of a step gave together, on the main device.
pub(crate) struct Gathered {
    pub(crate) gradients: GradientsParams,
    /// In the order of the parts.
    pub(crate) measured: Vec<Measured>,
    /// Of each device that had a part: its samples and its running statistics after the step.
    statistics: Vec<(usize, Statistics)>,
}

/// Why a step could not be made.
pub(crate) enum Failure {
    Attack(AttackError),
    Device(Panicked),
}

impl From<AttackError> for Failure {
    fn from(error: AttackError) -> Self {
        Self::Attack(error)
    }
}

/// What the statistics of the devices behind the main one stand under in a checkpoint.
fn statistic_names() -> impl Iterator<Item = String> {
    (1..).map(|place| format!("statistics-{place}"))
}

impl Team {
    /// For an objective that runs `wing`.
    pub(crate) fn new<M: Module>(devices: &[Device], model: &M, config: &TrainConfig, wing: Wing) -> Self {
        let paths = statistic_paths(model);
        Self {
            devices: Devices::new(devices),
            division: Division::new(config, devices.len(), wing, !paths.is_empty()),
            synchronise: config.sync_statistics,
            paths,
            further: vec![None; devices.len() - 1],
        }
    }

    /// Whether a step on so many samples has several parts.
    pub(crate) fn divides(&self, samples: usize) -> bool {
        self.division.divide(samples).concat().len() > 1
    }

    /// Adversary, losses and gradients of a step; `awp_gamma` as in [`StepSettings`](crate::StepSettings).
    pub(crate) fn gather<M: ImageClassifier>(
        &self,
        model: &M,
        objective: &dyn Objective<M>,
        maker: Option<&Maker<'_>>,
        batch: &Batch,
        awp_gamma: Option<f64>,
    ) -> Result<Gathered, Failure> {
        let samples = batch.labels.len();
        let shares =
            self.division.divide(samples).into_iter().zip(self.devices.list()).map(|(ranges, device)| {
                ranges.into_iter().map(|range| Part::cut(batch, range, device)).collect::<Vec<_>>()
            });
        let (gathered, parts) = self.pass(model, objective, maker, shares.collect())?;
        let Some(gamma) = awp_gamma else { return Ok(gathered) };
        let moved = ascended(model, &gathered.gradients, gamma);
        Ok(self.pass(&moved, objective, maker, parts)?.0)
    }

    /// One pass over all parts, side by side; parts that have no adversary's images yet are given them.
    fn pass<M: ImageClassifier>(
        &self,
        model: &M,
        objective: &dyn Objective<M>,
        maker: Option<&Maker<'_>>,
        shares: Vec<Vec<Part>>,
    ) -> Result<(Gathered, Vec<Vec<Part>>), Failure> {
        let jobs = shares.into_iter().enumerate().map(|(place, parts)| {
            // Through valid() for each: clones share their running statistics.
            let snapshot = model.valid().to_device(&self.devices.list()[place]);
            let snapshot = match place.checked_sub(1).and_then(|place| self.further[place].as_ref()) {
                Some(statistics) => statistics.load_into(snapshot),
                None => snapshot,
            };
            let share = Share { snapshot, parts };
            move || share.run(objective, maker, &self.paths, self.devices.main())
        });
        let outcomes = self.devices.run(jobs.collect()).map_err(Failure::Device)?;
        let mut gradients = GradientsAccumulator::new();
        let (mut measured, mut statistics, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        // Always summed in this order, whichever device is done first: the same bits each time.
        for outcome in outcomes {
            let outcome = outcome?;
            gradients.accumulate(model, outcome.gradients);
            statistics.push((outcome.measured.iter().map(|part| part.samples).sum(), outcome.statistics));
            measured.extend(outcome.measured);
            parts.push(outcome.parts);
        }
        Ok((Gathered { gradients: gradients.grads(), measured, statistics }, parts))
    }

    /// Adds the running statistics of the devices behind the main one.
    pub(crate) fn save_statistics(&self, checkpoint: &mut Checkpoint) {
        for (name, statistics) in statistic_names().zip(&self.further) {
            if let Some(statistics) = statistics {
                checkpoint.insert(&name, &statistics.to_data());
            }
        }
    }

    /// Takes them back. Devices that the run did not have before start from the model's.
    pub(crate) fn load_statistics(&mut self, checkpoint: &mut Checkpoint) {
        let devices = &self.devices.list()[1..];
        for ((name, kept), device) in statistic_names().zip(&mut self.further).zip(devices) {
            let saved = checkpoint.take(&name);
            *kept = (!saved.is_empty()).then(|| Statistics::from_data(saved, device));
        }
    }

    /// Takes over the running statistics of a step; returns the model with the main device's.
    pub(crate) fn keep_statistics<M: Module>(&mut self, model: M, gathered: &Gathered) -> M {
        let statistics = &gathered.statistics;
        if self.synchronise {
            let samples: usize = statistics.iter().map(|(samples, _)| samples).sum();
            let parts: Vec<(f64, Statistics)> = statistics
                .iter()
                .map(|(part, statistics)| (*part as f64 / samples as f64, statistics.clone()))
                .collect();
            let mean = Statistics::of(&model, &self.paths).mean(&parts);
            return mean.load_into(model);
        }
        for (kept, (_, new)) in self.further.iter_mut().zip(&statistics[1..]) {
            *kept = Some(new.clone());
        }
        statistics[0].1.load_into(model)
    }
}
