use std::collections::BTreeSet;
use std::ops::Range;

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Int, Tensor};
use twins_attack::{AtPrecision, AttackError, Pgd, Precision};
use twins_data::Batch;

use crate::keys::key;
use crate::pass::{Measured, Pass};
use crate::statistics::Statistics;
use crate::{ImageClassifier, Objective, TrainingBatch};

/// Makes the adversary's images of a step.
pub(crate) struct Maker<'a> {
    pub(crate) adversary: &'a Pgd,
    /// What its passes are computed in.
    pub(crate) precision: Precision,
    /// Of the step's random draws.
    pub(crate) draws: u64,
}

/// The adversary with the copy of the model that it attacks.
pub(crate) struct Attacker<'a, M> {
    maker: &'a Maker<'a>,
    victim: M,
}

impl Maker<'_> {
    /// The copy is cast here, once for all parts of a device.
    pub(crate) fn attacker<M: ImageClassifier>(&self, model: &M) -> Attacker<'_, M> {
        Attacker { maker: self, victim: self.precision.copy(model) }
    }
}

/// A micro-batch on its device.
pub(crate) struct Part {
    /// Its first sample in the batch, and those behind it.
    range: Range<usize>,
    /// Its share of the batch's samples.
    share: f64,
    labels: Vec<usize>,
    clean: Tensor<4>,
    /// `None` until they have been made.
    adversarial: Option<Tensor<4>>,
}

impl Part {
    pub(crate) fn cut(batch: &Batch, range: Range<usize>, device: &Device) -> Self {
        let images = batch.images.clone().narrow(0, range.start, range.len());
        Self {
            share: range.len() as f64 / batch.labels.len() as f64,
            labels: batch.labels[range.clone()].to_vec(),
            clean: images.to_device(device),
            adversarial: None,
            range,
        }
    }

    /// What the loss sees; the adversary runs first where it has not.
    pub(crate) fn prepare<M: ImageClassifier>(
        &mut self,
        attacker: Option<&Attacker<'_, M>>,
    ) -> Result<TrainingBatch, AttackError> {
        let adversarial = match (self.adversarial.take(), attacker) {
            (Some(made), _) => made,
            (None, None) => self.clean.clone(),
            (None, Some(Attacker { maker: Maker { adversary, precision, draws }, victim })) => {
                let victim = AtPrecision::new(|images: Tensor<4>| victim.logits(images), *precision);
                // By the image's place in the batch, however the batch is divided.
                let keys: Vec<u64> = self.range.clone().map(|place| key(*draws, &[place as u64])).collect();
                adversary.perturb(&victim, self.clean.clone(), &self.labels, &keys)?
            }
        };
        self.adversarial = Some(adversarial.clone());
        let labels: Vec<i64> = self.labels.iter().map(|label| *label as i64).collect();
        let labels = Tensor::<1, Int>::from_data(labels.as_slice(), &self.clean.device());
        Ok(TrainingBatch {
            clean: Tensor::from_inner(self.clean.clone()),
            adversarial: Tensor::from_inner(adversarial),
            labels: Tensor::from_inner(labels),
        })
    }
}

/// A device's share of a step.
pub(crate) struct Share<M> {
    /// The model in evaluation mode on the device, with the device's running statistics.
    pub(crate) snapshot: M,
    pub(crate) parts: Vec<Part>,
}

/// What a share gave.
pub(crate) struct Outcome {
    /// Summed over the parts, on the main device.
    pub(crate) gradients: GradientsParams,
    /// Of each part, on the main device.
    pub(crate) measured: Vec<Measured>,
    /// The device's running statistics after the share, on the device.
    pub(crate) statistics: Statistics,
    pub(crate) parts: Vec<Part>,
}

impl<M: ImageClassifier> Share<M> {
    /// Every part starts from the snapshot's running statistics; the mean of what they leave, weighted by their samples, is
    /// the share's.
    pub(crate) fn run(
        self,
        objective: &dyn Objective<M>,
        maker: Option<&Maker<'_>>,
        paths: &BTreeSet<String>,
        main: &Device,
    ) -> Result<Outcome, AttackError> {
        let Self { snapshot, mut parts } = self;
        let samples: usize = parts.iter().map(|part| part.labels.len()).sum();
        let mut gradients = GradientsAccumulator::new();
        let (mut measured, mut statistics) = (Vec::new(), Vec::new());
        // The second pass of a weight perturbation has its images.
        let maker = maker.filter(|_| parts.iter().any(|part| part.adversarial.is_none()));
        let attacker = maker.map(|maker| maker.attacker(&snapshot));
        for part in &mut parts {
            let batch = part.prepare(attacker.as_ref())?;
            // train() gives it running statistics of its own.
            let copy = snapshot.clone().train();
            let pass = Pass::of(&copy, objective, &batch, part.share);
            gradients.accumulate(&copy, pass.gradients);
            let Measured { scalars, has_frozen, samples: count } = pass.measured;
            let scalars = scalars.into_iter().map(|scalar| scalar.to_device(main)).collect();
            measured.push(Measured { scalars, has_frozen, samples: count });
            statistics.push((count as f64 / samples as f64, Statistics::of(&copy, paths)));
        }
        Ok(Outcome {
            gradients: gradients.grads().to_device(main, &snapshot),
            measured,
            statistics: Statistics::of(&snapshot, paths).mean(&statistics),
            parts,
        })
    }
}
