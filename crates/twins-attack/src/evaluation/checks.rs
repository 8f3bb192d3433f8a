use burn::tensor::{Tensor, TensorData};

use super::warning::Warning;
use crate::engine::task::Cost;
use crate::error::AttackError;
use crate::losses::loss::Loss;
use crate::model::classifier::Classifier;
use crate::model::clean::{CleanLogits, read_logits};
use crate::model::gradient::Tracked;
use crate::model::inference_form::{TrainingSign, compare_gradient_pass};
use crate::samples::source::SampleStream;

/// What the first batch reveals about a model.
pub(super) struct Checked {
    /// Warnings about properties that make an evaluation unreliable.
    pub(super) warnings: Vec<Warning>,
    /// Whether two passes over the same batch gave different logits.
    pub(super) randomised: bool,
    pub(super) cost: Cost,
}

/// Checks the model on the first batch.
pub(super) fn check_model(
    victim: &dyn Classifier,
    samples: &SampleStream<'_>,
    clean: &CleanLogits,
    gradients: bool,
) -> Result<Checked, AttackError> {
    let mut warnings = Vec::new();
    let n = samples.len().min(samples.batch_size());
    let indices: Vec<usize> = (0..n).collect();
    let ids: Vec<u64> = indices.iter().map(|&index| samples.source().id(index)).collect();
    let images = samples.upload(&indices, samples.device())?;
    let classes = clean.classes();

    let again = read_logits(victim.logits(images.clone()).inner(), &ids)?;
    let largest = again.iter().fold(1.0_f32, |most, z| z.abs().max(most));
    let difference = clean.rows().flatten().zip(&again).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Both passes use the same batch, so a deterministic model differs only by the rounding of parallel sums on some
    // devices.
    let randomised = difference > 1e-4 * largest;
    if randomised {
        warnings.push(Warning::Randomised { difference });
    }
    let sums_to_one =
        |z: &[f32]| z.iter().all(|p| (0.0..=1.0).contains(p)) && (z.iter().sum::<f32>() - 1.0).abs() < 1e-4;
    if clean.rows().all(sums_to_one) {
        warnings.push(Warning::Probabilities);
    }
    let mut cost = Cost { forwards: n as u64, backwards: 0 };
    if gradients {
        let tracked = Tracked::forward(victim, images)?;
        let logits = read_logits(tracked.logits(), &ids)?;
        let mut cotangents = vec![0.0; n * classes];
        for (i, (z, c)) in again.chunks(classes).zip(cotangents.chunks_mut(classes)).enumerate() {
            Loss::CrossEntropy.of(samples.source().label(i), None, z)?.evaluate(z, c);
        }
        let cotangents = Tensor::from_data(TensorData::new(cotangents, [n, classes]), samples.device());
        let gradient = tracked.gradient(cotangents)?.try_into_vec_as::<f32>()?;
        let zero =
            gradient.chunks(gradient.len() / n).filter(|g| g.iter().all(|g| *g == 0.0 || g.is_nan())).count();
        if zero > 0 {
            warnings.push(Warning::ZeroGradient { samples: zero, of: n });
        }
        let differing = compare_gradient_pass(victim, &again, &logits, classes);
        if let Some((row, difference)) = differing.filter(|_| !randomised) {
            return Err(TrainingSign::GradientPass { sample: ids[row], difference }.into());
        }
        cost += Cost { forwards: n as u64, backwards: n as u64 };
    }
    Ok(Checked { warnings, randomised, cost })
}
