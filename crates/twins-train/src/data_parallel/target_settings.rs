use burn::tensor::{Int, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution};

use crate::objectives::{Targets, TrainingBatch};
use crate::random_keys::key;

/// Label smoothing and mixup of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetSettings {
    pub(crate) label_smoothing: f64,
    /// Alpha of mixup, for Beta(alpha, alpha); `None` if images are not mixed.
    pub(crate) mixup: Option<f64>,
    /// The key of the step's random draws.
    pub(crate) key: u64,
}

impl TargetSettings {
    /// Creates the training batch of a micro-batch that begins at `place` in the step's batch. With mixup, clean images,
    /// adversarial examples and labels are mixed after the attack, each with the one at the same distance from the other
    /// end of the micro-batch.
    pub(crate) fn batch(
        &self,
        clean: Tensor<4>,
        adversarial: Tensor<4>,
        labels: Tensor<1, Int>,
        place: usize,
    ) -> TrainingBatch {
        let targets = Targets::new(labels.clone()).with_smoothing(self.label_smoothing);
        let Some(alpha) = self.mixup else {
            return TrainingBatch { clean, adversarial, labels, targets };
        };
        let weight = mixing_weight(alpha, key(self.key, &[place as u64]));
        let mix = |images: Tensor<4>| {
            let partners = images.clone().flip([0]);
            images.mul_scalar(weight) + partners.mul_scalar(1.0 - weight)
        };
        let targets = targets.with_mixed(labels.clone().flip([0]), weight);
        TrainingBatch { clean: mix(clean), adversarial: mix(adversarial), labels, targets }
    }
}

/// Draws the weight of the image itself: max(w, 1 − w), where w ~ Beta(alpha, alpha).
fn mixing_weight(alpha: f64, key: u64) -> f64 {
    let beta = Beta::new(alpha, alpha).expect("alpha was checked to be above 0");
    let weight: f64 = beta.sample(&mut ChaCha8Rng::seed_from_u64(key));
    weight.max(1.0 - weight)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn images_are_mixed_with_those_from_the_other_end() {
        let device = Device::flex();
        let clean = Tensor::<4>::from_floats([[[[1.0]]], [[[2.0]]], [[[4.0]]]], &device);
        let labels = Tensor::<1, Int>::from_ints([0, 1, 2], &device);
        let settings = TargetSettings { label_smoothing: 0.0, mixup: Some(1.0), key: 5 };
        let batch = settings.batch(clean.clone(), clean.clone() * 10.0, labels.clone(), 3);
        let weight = mixing_weight(1.0, key(5, &[3])) as f32;
        assert!((0.5..=1.0).contains(&weight));
        let values = |images: Tensor<4>| images.into_data().iter::<f32>().collect::<Vec<_>>();
        let expected = [weight + 4.0 * (1.0 - weight), 2.0, 4.0 * weight + 1.0 - weight];
        for (scale, found) in [(1.0, values(batch.clean)), (10.0, values(batch.adversarial))] {
            for (found, expected) in found.iter().zip(expected) {
                // Float32 rounding of values up to 40.
                assert!((found - scale * expected).abs() < 1e-5, "{found}, {expected}");
            }
        }
        let plain = TargetSettings { mixup: None, ..settings }.batch(clean.clone(), clean.clone(), labels, 0);
        assert_eq!(values(plain.clean), values(clean));
    }

    #[test]
    fn weights_follow_the_distribution() {
        // Of Beta(1, 1), which is uniform, max(w, 1 − w) has mean 3/4 and variance 1/48.
        let weights: Vec<f64> = (0..10_000).map(|draw| mixing_weight(1.0, draw)).collect();
        let mean = weights.iter().sum::<f64>() / 1e4;
        // Four standard deviations of the mean.
        assert!((mean - 0.75).abs() < 4.0 * (1.0 / 48.0 / 1e4_f64).sqrt(), "{mean}");
    }
}
