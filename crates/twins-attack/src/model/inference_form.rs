//! Attacks require a model in its inference form. Signs that a model is in its training form are an error.
//!
//! A victim is a function, so only its outputs can be checked. In Burn, layers train if their input is on an autodiff
//! device and their `training` flag is set. `valid()` clears the flag.

use std::fmt;

use burn::tensor::{Device, Tensor, TensorData};

use crate::engine::task::Cost;
use crate::error::AttackError;
use crate::model::classifier::Classifier;
use crate::model::clean::{CleanLogits, read_logits};
use crate::model::gradient::Tracked;
use crate::model::precision::Precision;
use crate::samples::source::SampleStream;

/// The number of images that is sufficient for the check.
const PROBE: usize = 4;

/// The sign that a model is in its training form.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TrainingSign {
    /// The logits of plain images are tracked for gradients.
    Tracked,
    /// The weights are on an autodiff device, and the logits of an image change from pass to pass or with the rest of the
    /// batch.
    Unstable {
        /// Number of the sample.
        sample: u64,
        /// By how much a logit changed.
        difference: f32,
    },
    /// The logits of an image in a gradient pass differ from those of a plain pass.
    GradientPass {
        /// Number of the sample.
        sample: u64,
        /// By how much a logit differs.
        difference: f32,
    },
}

impl fmt::Display for TrainingSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tracked => f.write_str("its logits are tracked for gradients although the images are not"),
            Self::Unstable { sample, difference } => write!(
                f,
                "its weights are on an autodiff device, and a logit of sample {sample} changes by {difference} between two \
                 batches"
            ),
            Self::GradientPass { sample, difference } => {
                write!(f, "a logit of sample {sample} changes by {difference} when a gradient is computed")
            }
        }
    }
}

impl From<TrainingSign> for AttackError {
    fn from(sign: TrainingSign) -> Self {
        Self::TrainingMode { sign }
    }
}

/// Checks the logits of the first plain batch. `first` is the first image of the batch. Returns the number of images
/// run through the model.
pub(crate) fn check_plain_pass(
    victim: &dyn Classifier,
    logits: &Tensor<2>,
    first: Tensor<4>,
    id: u64,
) -> Result<u64, AttackError> {
    if logits.is_tracked() {
        return Err(TrainingSign::Tracked.into());
    }
    if !logits.is_autodiff() {
        return Ok(0);
    }
    // A frozen model may be on the autodiff device. If the model trains, batch statistics and dropout change the logits
    // of the first image in this batch.
    let other = first.clone().neg() + 1.0;
    let again = victim.logits(Tensor::cat(vec![first, other], 0)).inner();
    let again = read_logits(again, &[id, id])?;
    let before = read_logits(logits.clone().inner().narrow(0, 0, 1), &[id])?;
    match Comparison::of(&before, &again[..before.len()], before.len(), Precision::F32).first {
        Some((_, difference)) => Err(TrainingSign::Unstable { sample: id, difference }.into()),
        None => Ok(2),
    }
}

/// Compares a gradient pass over the first images with the plain pass.
///
/// A model without gradients passes this check, because attacks without gradients work on it and the other attacks
/// report the error. A randomised model, whose plain passes differ too, also passes.
pub(crate) fn check_gradient_pass(
    victim: &dyn Classifier,
    device: &Device,
    samples: &SampleStream<'_>,
    clean: &CleanLogits,
) -> Result<Cost, AttackError> {
    // A single image is duplicated, for layers that split a batch.
    let indices: Vec<usize> = (0..samples.len().clamp(2, PROBE)).map(|i| i.min(samples.len() - 1)).collect();
    let ids: Vec<u64> = indices.iter().map(|&i| samples.source().id(i)).collect();
    let plain: Vec<f32> = indices.iter().flat_map(|&i| clean.row(i)).copied().collect();
    let images = samples.upload(&indices, device)?;
    let passes = indices.len() as u64;
    let tracked = match Tracked::forward(victim, images.clone()) {
        Err(AttackError::NoGradient) => return Ok(Cost { forwards: passes, backwards: 0 }),
        tracked => tracked?,
    };
    let logits = read_logits(tracked.logits(), &ids)?;
    // Frees the memory of the pass.
    let zeros = TensorData::new(vec![0.0_f32; logits.len()], [indices.len(), clean.classes()]);
    let gradient = tracked.gradient(Tensor::from_data(zeros, device));
    let backwards = if gradient.is_ok() { passes } else { 0 };
    let found = compare_gradient_pass(victim, &plain, &logits, clean.classes());
    let Some((row, difference)) = found else { return Ok(Cost { forwards: passes, backwards }) };
    // Compare two plain passes, both after the gradient pass, which may have updated running statistics.
    let again = || read_logits(victim.logits(images.clone()).inner(), &ids);
    let comparison = Comparison::of(&again()?, &again()?, clean.classes(), victim.gradient_precision());
    if comparison.first.is_some() {
        Ok(Cost { forwards: 3 * passes, backwards })
    } else {
        Err(TrainingSign::GradientPass { sample: ids[row], difference }.into())
    }
}

/// Returns the first differing row and the difference of its logits, if a gradient pass differs from a plain pass in so
/// many rows that the model must be in its training form.
///
/// The limit is half of the rows. A split batch is at least half adaptive, and a randomised model that deviates rarely
/// differs in fewer rows.
pub(crate) fn compare_gradient_pass(
    victim: &dyn Classifier,
    plain: &[f32],
    gradient: &[f32],
    classes: usize,
) -> Option<(usize, f32)> {
    let comparison = Comparison::of(plain, gradient, classes, victim.gradient_precision());
    comparison.first.filter(|_| 2 * comparison.differing >= plain.len() / classes)
}

/// Rows of logits that differ by more than rounding.
struct Comparison {
    differing: usize,
    /// The first such row, and its largest difference.
    first: Option<(usize, f32)>,
}

impl Comparison {
    fn of(a: &[f32], b: &[f32], classes: usize, precision: Precision) -> Self {
        // Other kernels and batch sizes round differently: by a few hundred roundings of single precision, or some tens
        // of half precision. The changes made by training are of the size of the logits.
        let tolerance = match precision {
            Precision::F32 => 1e-3,
            Precision::F16 => 1e-2,
            Precision::Bf16 => 5e-2,
        };
        let largest = a.iter().fold(f32::MIN_POSITIVE, |most, z| z.abs().max(most));
        let difference =
            |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let rows = a.chunks(classes).zip(b.chunks(classes)).map(difference).enumerate();
        let differing: Vec<(usize, f32)> = rows.filter(|(_, d)| *d > tolerance * largest).collect();
        Self { differing: differing.len(), first: differing.first().copied() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::at_precision::AtPrecision;

    /// Compares four rows of logits, the largest of which is 10, with rows in which one logit changed by these amounts.
    fn compared(precision: Precision, changes: [f32; 4]) -> Option<(usize, f32)> {
        let victim = AtPrecision::new(|images: Tensor<4>| images.flatten::<2>(1, 3), precision);
        let plain = [10.0_f32, -1.0].repeat(4);
        let gradient: Vec<f32> = changes.iter().flat_map(|change| [10.0 + *change, -1.0]).collect();
        compare_gradient_pass(&victim, &plain, &gradient, 2)
    }

    #[test]
    fn a_quarter_of_the_rows_may_differ_and_half_of_them_may_not() {
        assert_eq!(compared(Precision::F32, [0.0, 0.5, 0.0, 0.0]), None);
        assert_eq!(compared(Precision::F32, [0.0, 0.5, -0.25, 0.0]), Some((1, 0.5)));
    }

    /// Powers of two below and above 1e-3, 1e-2 and 5e-2 of the largest logit.
    #[test]
    fn rounding_in_the_precision_of_the_model_is_no_difference() {
        for (precision, rounding, change) in [
            (Precision::F32, 0.007_812_5, 0.015_625),
            (Precision::F16, 0.062_5, 0.125),
            (Precision::Bf16, 0.25, 1.0),
        ] {
            assert_eq!(compared(precision, [rounding; 4]), None, "{precision}");
            assert_eq!(compared(precision, [change; 4]), Some((0, change)), "{precision}");
        }
    }
}
