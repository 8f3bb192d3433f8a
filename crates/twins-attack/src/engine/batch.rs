//! Sends the queries of many attacks to the model in one call.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use super::lanes::Lanes;
use super::query::Need;
use super::slot::Slot;
use super::stage::Stage;
use crate::error::AttackError;
use crate::model::clean::read_logits;
use crate::model::gradient::Tracked;

/// The smallest number of images that is worth a separate model call.
pub(super) const SMALLEST_PART: usize = 8;

/// The smallest number of attacks that a thread resumes in one piece of work.
const ATTACKS_PER_THREAD: usize = 4;

impl Stage<'_> {
    /// Responds to all queries of one kind, logits or gradients, whichever more attacks are waiting for. The other
    /// queries wait for the next batch.
    ///
    /// Returns the number of images that went through the model.
    pub(super) fn run_queries(&self, slots: &mut [Slot<'_>], lanes: &Lanes) -> Result<u64, AttackError> {
        let wanting_gradient = slots.iter().filter(|slot| slot.need() == Some(Need::Gradient)).count();
        let need = if 2 * wanting_gradient >= slots.len() { Need::Gradient } else { Need::Logits };
        let mut waiting: Vec<_> = slots.iter_mut().filter(|slot| slot.need() == Some(need)).collect();
        let part = waiting.len().div_ceil(lanes.count()).max(SMALLEST_PART);
        let jobs = waiting.chunks_mut(part).map(|part| || self.run_batch(part, need)).collect();
        lanes.run(jobs).into_iter().sum()
    }

    /// Responds to these queries with one model call per repeated pass.
    fn run_batch(&self, waiting: &mut [&mut Slot<'_>], need: Need) -> Result<u64, AttackError> {
        let ids: Vec<u64> = waiting.iter().map(|slot| self.samples.source().id(slot.task.index)).collect();
        let row: usize = self.samples.source().image_shape().iter().product();
        let mut pixels = vec![0.0; waiting.len() * row];
        for (slot, image) in waiting.iter().zip(pixels.chunks_mut(row)) {
            slot.copy_image(image)?;
        }
        let images = self.samples.upload_to(pixels, self.device);
        let (logits, gradients, repeats) = match need {
            Need::Logits => (read_logits(self.victim.logits(images).inner(), &ids)?, Vec::new(), 1),
            Need::Gradient => {
                let (logits, gradients) = self.gradients(waiting, images, &ids)?;
                (logits, gradients, self.attack.eot() as u64)
            }
        };
        let classes = self.clean.classes();
        let gradient = |i: usize| gradients.get(i * row..(i + 1) * row).unwrap_or(&[]);
        waiting.par_iter_mut().with_min_len(ATTACKS_PER_THREAD).enumerate().for_each(|(i, slot)| {
            let cost = &mut slot.task.tally.cost;
            cost.forwards += repeats;
            cost.backwards += if need == Need::Gradient { repeats } else { 0 };
            slot.respond(&logits[i * classes..(i + 1) * classes], gradient(i));
        });
        Ok(waiting.len() as u64 * repeats)
    }

    /// Computes logits and input gradients. The gradients are averaged over the repeated passes; the logits are those
    /// of the last pass.
    ///
    /// The gradients are added up on the device and read once. The logits of several passes are read together, because
    /// the device is idle while the host converts them to cotangents.
    fn gradients(
        &self,
        waiting: &mut [&mut Slot<'_>],
        images: Tensor<4>,
        ids: &[u64],
    ) -> Result<(Vec<f32>, Vec<f32>), AttackError> {
        let repeats = self.attack.eot();
        let mut logits = Vec::new();
        let mut sum: Option<Tensor<4>> = None;
        for first in (0..repeats).step_by(self.passes_per_read()) {
            let passes = self.passes_per_read().min(repeats - first);
            let forward = |_| Tracked::forward(self.victim, images.clone());
            let tracked = (0..passes).map(forward).collect::<Result<Vec<_>, _>>()?;
            let outputs = match &tracked[..] {
                [single] => single.logits(),
                several => Tensor::cat(several.iter().map(Tracked::logits).collect(), 0),
            };
            let several = read_logits(outputs, &ids.repeat(passes))?;
            for (tracked, one) in tracked.into_iter().zip(several.chunks(several.len() / passes)) {
                let gradient = tracked.gradient(self.cotangents(waiting, one))?;
                sum = Some(match sum {
                    Some(sum) => sum + gradient,
                    None => gradient,
                });
                logits = one.to_vec();
            }
        }
        let mut mean = match sum {
            Some(sum) => sum.try_into_vec_as::<f32>()?,
            None => Vec::new(),
        };
        // Where the model is not differentiable, the gradient may be NaN. Such values carry no information.
        let average = |g: f32| if g.is_finite() { g / repeats as f32 } else { 0.0 };
        mean.iter_mut().for_each(|g| *g = average(*g));
        Ok((logits, mean))
    }

    /// The derivatives of the attacks' objectives with respect to these logits, on the device.
    fn cotangents(&self, waiting: &mut [&mut Slot<'_>], logits: &[f32]) -> Tensor<2> {
        let classes = self.clean.classes();
        let mut cotangents = vec![0.0; logits.len()];
        let rows = waiting.par_iter_mut().with_min_len(ATTACKS_PER_THREAD);
        rows.zip(logits.par_chunks(classes))
            .zip(cotangents.par_chunks_mut(classes))
            .for_each(|((slot, logits), cotangent)| slot.cotangent(logits, cotangent));
        Tensor::from_data(TensorData::new(cotangents, [waiting.len(), classes]), self.device)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::engine::attack::{Attack, Attempt};
    use crate::engine::query::{Model, Response};
    use crate::engine::sample::Sample;
    use crate::engine::stage::tests::{brightest, drive, samples, threat};
    use crate::engine::verification::VerificationRule;
    use crate::norms::threat_model::ThreatModel;

    /// Queries one gradient.
    #[derive(Debug, Default)]
    struct OneGradient {
        /// The number of forward passes so far.
        forwards: AtomicUsize,
        /// This number at each call of the objective.
        at_objective: Mutex<Vec<usize>>,
        response: Mutex<Option<Response>>,
    }

    impl Attack for OneGradient {
        fn name(&self) -> String {
            "one-gradient".to_owned()
        }

        fn threat_model(&self) -> ThreatModel {
            threat()
        }

        fn eot(&self) -> usize {
            3
        }

        fn passes(&self, _classes: usize) -> u64 {
            3
        }

        fn attack<'a>(&'a self, sample: Sample<'a>, mut model: Model) -> Attempt<'a> {
            Box::pin(async move {
                let objective = |logits: &[f32], cotangent: &mut [f32]| {
                    self.at_objective.lock().unwrap().push(self.forwards.load(Ordering::Relaxed));
                    cotangent[1] = 1.0;
                    logits[1]
                };
                let response = model.gradient(&sample.image, objective).await;
                *self.response.lock().unwrap() = Some(response);
                Ok(sample.nothing_found())
            })
        }
    }

    #[test]
    fn gradients_of_repeated_passes_are_averaged_and_two_passes_are_queued() {
        let attack = OneGradient::default();
        let victim = |images: Tensor<4>| {
            let factor = [1.0_f32, 2.0, 6.0][attack.forwards.fetch_add(1, Ordering::Relaxed)];
            brightest(images) * factor
        };
        let samples = samples(&[[0.5, 0.25]]).with_batches_in_flight(2);
        drive(&attack, &victim, &samples, VerificationRule::default());
        let response = attack.response.into_inner().unwrap().unwrap();
        // (1 + 2 + 6) / 3, and the logits of the last pass.
        assert_eq!(response.gradient, [0.0, 3.0]);
        assert_eq!((response.logits, response.loss), (vec![3.0, 1.5], 1.5));
        assert_eq!(attack.at_objective.into_inner().unwrap(), [2, 2, 3]);
    }
}
