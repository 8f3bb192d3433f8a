use burn::tensor::Device;

use super::identity::first_difference;
use crate::engine::task::Cost;
use crate::error::AttackError;
use crate::model::classifier::Classifier;
use crate::model::clean::{CleanLogits, read_logits};
use crate::model::inference_form::{check_gradient_pass, check_plain_pass};
use crate::samples::source::SampleStream;

/// A copy of the model on a device. An evaluation divides the samples among its replicas.
#[derive(Clone)]
pub struct Replica<'a> {
    pub(super) victim: &'a (dyn Classifier + Sync),
    pub(super) device: Device,
}

impl<'a> Replica<'a> {
    /// Creates a replica from a victim whose weights are on this device. Replicas on the same device may share a
    /// victim.
    pub fn new(victim: &'a (dyn Classifier + Sync), device: Device) -> Self {
        Self { victim, device: device.inner() }
    }
}

/// Checks that every replica after the first is in its inference form, and that its logits for the first sample match
/// those of the first replica. If the model is randomised, only the number of logits is compared.
pub(super) fn check_replicas(
    replicas: &[Replica<'_>],
    samples: &SampleStream<'_>,
    clean: &CleanLogits,
    randomised: bool,
    gradients: bool,
) -> Result<Cost, AttackError> {
    let sample = samples.source().id(0);
    let mut cost = Cost::default();
    for (place, Replica { victim, device }) in replicas.iter().enumerate().skip(1) {
        let image = samples.upload(&[0], device)?;
        let logits = victim.logits(image.clone());
        cost += Cost { forwards: 1 + check_plain_pass(*victim, &logits, image, sample)?, backwards: 0 };
        let logits = read_logits(logits.inner(), &[sample])?;
        let differs = if randomised {
            logits.len() != clean.classes()
        } else {
            first_difference(clean.row(0), &logits).is_some()
        };
        if differs {
            return Err(AttackError::OtherReplica { place, sample });
        }
        if gradients {
            cost += check_gradient_pass(*victim, device, samples, clean)?;
        }
    }
    Ok(cost)
}
