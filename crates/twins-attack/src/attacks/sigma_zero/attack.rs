use super::adam::Adam;
use super::config::SigmaZeroConfig;
use super::sparsity::{add_l0_gradient, drop_small_changes, next_threshold, normalise};
use crate::attacks::cosine::cosine;
use crate::attacks::nearest::Nearest;
use crate::engine::attack::{Attack, Attempt};
use crate::engine::finding::{Finding, RunSelection};
use crate::engine::query::Model;
use crate::engine::sample::Sample;
use crate::error::AttackError;
use crate::losses::ranking::best_other;
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// σ-zero (Cinà et al. 2025, arXiv 2402.01879, algorithm 1): searches for an adversarial example with few changed
/// values.
///
/// It minimises the positive part of the margin plus a differentiable L0 norm of the offset from the clean image,
/// `max(z_y - max_{i≠y} z_i, 0) + 1/d Σ δ² / (δ² + σ)`. Each step scales the gradient so that its largest magnitude is
/// one, makes an Adam step, clips the point to the box, and reverts the changes that are below a threshold. The
/// threshold rises after an adversarial point and falls otherwise. The step size and the step of the threshold fall
/// along a cosine.
///
/// The gradient of the L0 term is computed in closed form, which is more accurate than the reference's automatic
/// differentiation. Adam takes full steps for small gradients too, so the trajectories diverge after about ten steps.
/// The distances on the reference values are the same.
///
/// The threat model's epsilon is the largest number of changed values that counts as success. By default, all steps are
/// made and the sparsest adversarial example is returned ([`Depth::Nearest`](crate::Depth::Nearest)). If a starting
/// point is given with the sample ([`Samples::with_starts`](crate::Samples::with_starts)), the search starts there.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{Attack, Norm, Samples, SigmaZeroConfig, ThreatModel};
/// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
/// let images = Tensor::from_floats([[[[0.6, 0.5, 0.1, 0.2]]]], &Device::flex());
/// let samples = Samples::new(images, vec![0])?;
/// let threat = ThreatModel::new(Norm::L0, 4.0)?;
/// let output = SigmaZeroConfig::new(threat).build()?.run(&victim, &samples)?;
/// let point: Vec<f32> = output.adversarial.try_into_vec_as().unwrap();
/// // One value is enough.
/// assert_eq!((output.fooled[0], threat.distance(samples.image(0), &point)), (true, 1.0));
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SigmaZero {
    pub(super) config: SigmaZeroConfig,
}

impl SigmaZero {
    /// The norms that σ-zero supports.
    pub const NORMS: &'static [Norm] = &[Norm::L0];

    /// The settings.
    pub fn config(&self) -> &SigmaZeroConfig {
        &self.config
    }

    async fn search(&self, sample: Sample<'_>, mut model: Model) -> Result<Finding, AttackError> {
        let SigmaZeroConfig { threat, steps, sigma, depth, .. } = self.config;
        let image = &sample.image;
        let mut nearest = Nearest::new(&sample, threat, depth);
        let mut x = sample.start_within(&threat).unwrap_or_else(|| image.to_vec());
        let mut descent = Descent::new(&self.config, x.len());
        for step in 0..steps {
            // The last point needs no gradient, because no step follows it.
            let at = if step + 1 < steps {
                model.gradient(&x, |z, c| hinge(z, c, sample.label)).await
            } else {
                model.logits(&x).await
            };
            if (at.fooled && nearest.note(&x, &at.logits)) || step + 1 == steps {
                break;
            }
            let mut gradient = at.gradient;
            add_l0_gradient(&mut gradient, image, &x, sigma);
            normalise(&mut gradient);
            descent.advance(image, &mut x, &gradient, at.fooled);
        }
        Ok(nearest.into_finding())
    }
}

/// The margin `max(z_y - max_{i≠y} z_i, 0)`. At a margin of exactly zero, its derivative is that of a positive margin.
fn hinge(logits: &[f32], cotangent: &mut [f32], label: usize) -> f32 {
    let other = best_other(logits, label);
    let margin = logits[label] - logits[other];
    if margin >= 0.0 {
        cotangent[label] = 1.0;
        cotangent[other] = -1.0;
    }
    margin.max(0.0)
}

/// The state that changes from step to step, besides the point.
pub(super) struct Descent<'a> {
    config: &'a SigmaZeroConfig,
    adam: Adam,
    pub(super) threshold: f32,
    step: usize,
}

impl<'a> Descent<'a> {
    pub(super) fn new(config: &'a SigmaZeroConfig, values: usize) -> Self {
        Self { config, adam: Adam::new(values), threshold: config.threshold, step: 0 }
    }

    /// Moves the point against the gradient, and reverts small changes.
    pub(super) fn advance(&mut self, image: &[f32], x: &mut [f32], gradient: &[f32], adversarial: bool) {
        let rates = [self.step, self.step + 1].map(|step| self.step_size(step));
        let moves = self.adam.step(gradient, rates[0]);
        for ((x, &x0), step) in x.iter_mut().zip(image).zip(moves) {
            *x = (x0 + ((*x - x0) + step)).clamp(0.0, 1.0);
        }
        let change = f64::from(self.config.threshold_step) * rates[1];
        self.threshold = next_threshold(self.threshold, change as f32, adversarial);
        drop_small_changes(x, image, self.threshold);
        self.step += 1;
    }

    fn step_size(&self, step: usize) -> f64 {
        let first = f64::from(self.config.step_size);
        cosine(step, self.config.steps, first, first / 10.0)
    }
}

impl Attack for SigmaZero {
    fn name(&self) -> String {
        "sigma-zero".to_string()
    }

    fn threat_model(&self) -> ThreatModel {
        self.config.threat
    }

    fn run_selection(&self) -> RunSelection {
        self.config.depth.run_selection()
    }

    fn passes(&self, _classes: usize) -> u64 {
        self.config.steps as u64
    }

    fn attack<'a>(&'a self, sample: Sample<'a>, model: Model) -> Attempt<'a> {
        Box::pin(self.search(sample, model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_followed_until_the_image_is_misclassified() {
        let hinged = |logits: [f32; 3]| {
            let mut cotangent = [0.0; 3];
            (hinge(&logits, &mut cotangent, 1), cotangent)
        };
        assert_eq!(hinged([0.5, 2.0, 1.5]), (0.5, [0.0, 1.0, -1.0]));
        assert_eq!(hinged([2.0, 2.0, 1.5]), (0.0, [-1.0, 1.0, 0.0]));
        assert_eq!(hinged([2.5, 2.0, 1.5]), (0.0, [0.0; 3]));
    }
}
