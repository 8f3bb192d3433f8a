use burn::tensor::Device;

use super::state::first_difference;
use crate::clean::{CleanLogits, read_logits};
use crate::engine::Cost;
use crate::{AttackError, Classifier, Samples};

/// A copy of the model on a device: one of those that share an evaluation's samples.
#[derive(Clone)]
pub struct Replica<'a> {
    pub(super) victim: &'a (dyn Classifier + Sync),
    pub(super) device: Device,
}

impl<'a> Replica<'a> {
    /// A victim whose weights are on this device. Replicas on the same device may share one victim.
    pub fn new(victim: &'a (dyn Classifier + Sync), device: Device) -> Self {
        Self { victim, device: device.inner() }
    }
}

/// Compares every further replica's logits of the first sample with those of the first replica. Of a randomised model only
/// their number can be compared.
pub(super) fn check_replicas(
    replicas: &[Replica<'_>],
    samples: &Samples,
    clean: &CleanLogits,
    randomised: bool,
) -> Result<Cost, AttackError> {
    let sample = samples.ids()[0];
    for (place, Replica { victim, device }) in replicas.iter().enumerate().skip(1) {
        let image = samples.upload_to(samples.image(0).to_vec(), device);
        let logits = read_logits(victim.logits(image).inner(), &[sample])?;
        let differs = if randomised {
            logits.len() != clean.classes()
        } else {
            first_difference(clean.row(0), &logits).is_some()
        };
        if differs {
            return Err(AttackError::OtherReplica { place, sample });
        }
    }
    Ok(Cost { forwards: replicas.len() as u64 - 1, backwards: 0 })
}
