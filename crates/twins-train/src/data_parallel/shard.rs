use std::collections::BTreeSet;
use std::ops::Range;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Int, Tensor};
use twins_attack::{AtPrecision, AttackError, Pgd, Precision};
use twins_data::Batch;
use twins_nn::ImageClassifier;

use super::running_statistics::Statistics;
use super::target_settings::TargetSettings;
use crate::objectives::{Measured, Objective, Pass, TrainingBatch, TrainingModel};
use crate::random_keys::key;

/// The adversary of one step.
pub(crate) struct StepAdversary<'a> {
    pub(crate) attack: &'a Pgd,
    /// The precision of its passes.
    pub(crate) precision: Precision,
    /// The key of the step's random draws.
    pub(crate) key: u64,
}

/// The adversary, together with the copy of the model that it attacks.
pub(crate) struct ReplicaAdversary<'a, M> {
    adversary: &'a StepAdversary<'a>,
    victim: M,
}

impl StepAdversary<'_> {
    /// Casts a copy of the model, once for all micro-batches of a replica.
    pub(crate) fn for_replica<M: ImageClassifier>(&self, model: &M) -> ReplicaAdversary<'_, M> {
        ReplicaAdversary { adversary: self, victim: self.precision.copy(model) }
    }
}

/// A micro-batch: the part of a batch that one pass is computed on.
pub(crate) struct MicroBatch {
    /// The range of its samples in the batch.
    range: Range<usize>,
    /// Its fraction of the batch's samples.
    weight: f64,
    labels: Vec<usize>,
    clean: Tensor<4>,
    /// `None` before the adversary has run.
    adversarial: Option<Tensor<4>>,
}

impl MicroBatch {
    pub(crate) fn cut(batch: &Batch, range: Range<usize>, device: &Device) -> Self {
        let images = batch.images.clone().narrow(0, range.start, range.len());
        Self {
            weight: range.len() as f64 / batch.labels.len() as f64,
            labels: batch.labels[range.clone()].to_vec(),
            clean: images.to_device(device),
            adversarial: None,
            range,
        }
    }

    /// Prepares the batch for the loss. Runs the adversary first, unless there are adversarial examples already.
    pub(crate) fn prepare<M: ImageClassifier>(
        &mut self,
        replica_adversary: Option<&ReplicaAdversary<'_, M>>,
        targets: &TargetSettings,
    ) -> Result<TrainingBatch, AttackError> {
        let adversarial = match (self.adversarial.take(), replica_adversary) {
            (Some(adversarial), _) => adversarial,
            (None, None) => self.clean.clone(),
            (
                None,
                Some(ReplicaAdversary {
                    adversary: StepAdversary { attack, precision, key: step_key },
                    victim,
                }),
            ) => {
                let victim = AtPrecision::new(|images: Tensor<4>| victim.logits(images), *precision);
                // Keys depend on the image's position in the whole batch, not on the division of the batch.
                let keys: Vec<u64> =
                    self.range.clone().map(|place| key(*step_key, &[place as u64])).collect();
                attack.perturb(&victim, self.clean.clone(), &self.labels, &keys)?
            }
        };
        self.adversarial = Some(adversarial.clone());
        let labels: Vec<i64> = self.labels.iter().map(|label| *label as i64).collect();
        let labels = Tensor::<1, Int>::from_data(labels.as_slice(), &self.clean.device());
        Ok(targets.batch(
            Tensor::from_inner(self.clean.clone()),
            Tensor::from_inner(adversarial),
            Tensor::from_inner(labels),
            self.range.start,
        ))
    }
}

/// The micro-batches of a step that one replica computes.
pub(crate) struct Shard<M> {
    /// The model in evaluation mode on the device, with the device's running statistics.
    pub(crate) snapshot: TrainingModel<M>,
    pub(crate) micro_batches: Vec<MicroBatch>,
}

/// The result of one shard.
pub(crate) struct ShardOutcome {
    /// The gradients, summed over the micro-batches, on the main device.
    pub(crate) gradients: GradientsParams,
    /// The measurements of each micro-batch, on the main device.
    pub(crate) measured: Vec<Measured>,
    /// The device's running statistics after the shard, on that device.
    pub(crate) statistics: Statistics,
    pub(crate) micro_batches: Vec<MicroBatch>,
}

impl<M: ImageClassifier> Shard<M> {
    /// Computes all micro-batches. Each starts from the snapshot's running statistics, and the result has the mean of their
    /// statistics, weighted by the number of samples.
    pub(crate) fn run(
        self,
        objective: &dyn Objective<M>,
        adversary: Option<&StepAdversary<'_>>,
        targets: &TargetSettings,
        paths: &BTreeSet<String>,
        main: &Device,
    ) -> Result<ShardOutcome, AttackError> {
        let Self { snapshot, mut micro_batches } = self;
        let samples: usize = micro_batches.iter().map(|micro_batch| micro_batch.labels.len()).sum();
        let mut gradients = GradientsAccumulator::new();
        let (mut measured, mut statistics) = (Vec::new(), Vec::new());
        // In the second pass of a weight perturbation, the adversarial examples exist already.
        let adversary =
            adversary.filter(|_| micro_batches.iter().any(|micro_batch| micro_batch.adversarial.is_none()));
        let replica_adversary = adversary.map(|adversary| adversary.for_replica(&snapshot.model));
        for micro_batch in &mut micro_batches {
            let batch = micro_batch.prepare(replica_adversary.as_ref(), targets)?;
            // train() gives the copy separate running statistics.
            let copy = snapshot.clone().train();
            let pass = Pass::of(&copy, objective, &batch, micro_batch.weight);
            gradients.accumulate(&copy, pass.gradients);
            let Measured { scalars, has_frozen, samples: count } = pass.measured;
            let scalars = scalars.into_iter().map(|scalar| scalar.to_device(main)).collect();
            measured.push(Measured { scalars, has_frozen, samples: count });
            statistics.push((count as f64 / samples as f64, Statistics::of(&copy, paths)));
        }
        Ok(ShardOutcome {
            gradients: gradients.grads().to_device(main, &snapshot),
            measured,
            statistics: Statistics::of(&snapshot, paths).mean(&statistics),
            micro_batches,
        })
    }
}
