use std::collections::BTreeSet;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Device;
use twins_attack::AttackError;
use twins_data::Batch;
use twins_nn::{ImageClassifier, Wing};

use super::devices::{Devices, Panicked};
use super::division::Division;
use super::running_statistics::{Statistics, statistic_paths};
use super::shard::{MicroBatch, Shard, StepAdversary};
use super::target_settings::TargetSettings;
use crate::checkpoints::Checkpoint;
use crate::config::TrainConfig;
use crate::objectives::{Measured, Objective, TrainingModel};
use crate::optimisers::ascended;

/// The data-parallel replicas of the model, one per device, and the division of a step among them.
///
/// A step of several micro-batches does not change the model until its result is known to be finite. Every micro-batch is
/// computed by a copy that starts from the weights and the replica's running statistics.
pub(crate) struct Replicas {
    pub(crate) devices: Devices,
    pub(crate) division: Division,
    synchronise: bool,
    /// The paths of the model's running statistics.
    paths: BTreeSet<String>,
    /// The running statistics of every replica except the main one, which uses the model's own; `None` if they are equal
    /// to the model's.
    pub(crate) replica_statistics: Vec<Option<Statistics>>,
}

/// The combined result of a step's micro-batches, on the main device.
pub(crate) struct Gathered {
    pub(crate) gradients: GradientsParams,
    /// The measurements in the order of the micro-batches.
    pub(crate) measured: Vec<Measured>,
    /// For each replica that took part: the number of its samples, and its running statistics after the step.
    statistics: Vec<(usize, Statistics)>,
}

/// Why a step failed.
pub(crate) enum Failure {
    Attack(AttackError),
    Device(Panicked),
}

impl From<AttackError> for Failure {
    fn from(error: AttackError) -> Self {
        Self::Attack(error)
    }
}

/// The names under which a checkpoint stores the running statistics of all replicas except the main one.
fn statistic_names() -> impl Iterator<Item = String> {
    (1..).map(|place| format!("statistics-{place}"))
}

impl Replicas {
    /// Creates the replicas for an objective that uses `wing`.
    pub(crate) fn new<M: Module>(devices: &[Device], model: &M, config: &TrainConfig, wing: Wing) -> Self {
        let paths = statistic_paths(model);
        Self {
            devices: Devices::new(devices),
            division: Division::new(config, devices.len(), wing, !paths.is_empty()),
            synchronise: config.sync_statistics,
            paths,
            replica_statistics: vec![None; devices.len() - 1],
        }
    }

    /// Whether a step on the given number of samples is divided into several parts.
    pub(crate) fn has_several_parts(&self, samples: usize) -> bool {
        self.division.divide(samples).concat().len() > 1
    }

    /// Computes the adversarial examples, the losses and the gradients of a step. `awp_gamma` has the meaning that it
    /// has in [`StepSettings`](crate::StepSettings).
    pub(crate) fn gather<M: ImageClassifier>(
        &self,
        model: &TrainingModel<M>,
        objective: &dyn Objective<M>,
        adversary: Option<&StepAdversary<'_>>,
        targets: &TargetSettings,
        batch: &Batch,
        awp_gamma: Option<f64>,
    ) -> Result<Gathered, Failure> {
        let samples = batch.labels.len();
        let shards =
            self.division.divide(samples).into_iter().zip(self.devices.list()).map(|(ranges, device)| {
                ranges.into_iter().map(|range| MicroBatch::cut(batch, range, device)).collect::<Vec<_>>()
            });
        let (gathered, shards) = self.pass(model, objective, adversary, targets, shards.collect())?;
        let Some(gamma) = awp_gamma else { return Ok(gathered) };
        let moved = ascended(model, &gathered.gradients, gamma);
        Ok(self.pass(&moved, objective, adversary, targets, shards)?.0)
    }

    /// Makes one pass over all micro-batches, with the replicas in parallel. The adversary runs only for micro-batches that have
    /// no adversarial examples yet.
    fn pass<M: ImageClassifier>(
        &self,
        model: &TrainingModel<M>,
        objective: &dyn Objective<M>,
        adversary: Option<&StepAdversary<'_>>,
        targets: &TargetSettings,
        shards: Vec<Vec<MicroBatch>>,
    ) -> Result<(Gathered, Vec<Vec<MicroBatch>>), Failure> {
        let jobs = shards.into_iter().enumerate().map(|(place, micro_batches)| {
            // valid() is called for each replica because clones share their running statistics.
            let snapshot = model.valid().to_device(&self.devices.list()[place]);
            let snapshot =
                match place.checked_sub(1).and_then(|place| self.replica_statistics[place].as_ref()) {
                    Some(statistics) => statistics.load_into(snapshot),
                    None => snapshot,
                };
            let shard = Shard { snapshot, micro_batches };
            move || shard.run(objective, adversary, targets, &self.paths, self.devices.main())
        });
        let outcomes = self.devices.run(jobs.collect()).map_err(Failure::Device)?;
        let mut gradients = GradientsAccumulator::new();
        let (mut measured, mut statistics, mut shards) = (Vec::new(), Vec::new(), Vec::new());
        // The sum always has this order, whichever device finishes first, so that results are bit-identical.
        for outcome in outcomes {
            let outcome = outcome?;
            gradients.accumulate(model, outcome.gradients);
            statistics.push((
                outcome.measured.iter().map(|micro_batch| micro_batch.samples).sum(),
                outcome.statistics,
            ));
            measured.extend(outcome.measured);
            shards.push(outcome.micro_batches);
        }
        Ok((Gathered { gradients: gradients.grads(), measured, statistics }, shards))
    }

    /// Adds the running statistics of every replica except the main one to a checkpoint.
    pub(crate) fn save_statistics(&self, checkpoint: &mut Checkpoint) {
        for (name, statistics) in statistic_names().zip(&self.replica_statistics) {
            if let Some(statistics) = statistics {
                checkpoint.insert(&name, &statistics.to_data());
            }
        }
    }

    /// Restores the running statistics from a checkpoint. Replicas that the checkpoint does not contain start from
    /// those of the model.
    ///
    /// # Errors
    ///
    /// A description of a tensor that no statistics have.
    pub(crate) fn load_statistics(&mut self, checkpoint: &mut Checkpoint) -> Result<(), String> {
        let devices = &self.devices.list()[1..];
        for ((name, kept), device) in statistic_names().zip(&mut self.replica_statistics).zip(devices) {
            let saved = checkpoint.take_flat(&name)?;
            *kept = (!saved.is_empty()).then(|| Statistics::from_data(saved, device));
        }
        Ok(())
    }

    /// Stores the running statistics of a step and returns the model with those of the main device.
    pub(crate) fn keep_statistics<M: Module>(&mut self, model: M, gathered: &Gathered) -> M {
        let statistics = &gathered.statistics;
        if self.synchronise {
            let samples: usize = statistics.iter().map(|(samples, _)| samples).sum();
            let replicas: Vec<(f64, Statistics)> = statistics
                .iter()
                .map(|(count, statistics)| (*count as f64 / samples as f64, statistics.clone()))
                .collect();
            let mean = Statistics::of(&model, &self.paths).mean(&replicas);
            return mean.load_into(model);
        }
        for (kept, (_, new)) in self.replica_statistics.iter_mut().zip(&statistics[1..]) {
            *kept = Some(new.clone());
        }
        statistics[0].1.load_into(model)
    }
}
