use super::config::DdnConfig;
use super::sphere::{quantised, step_onto_sphere};
use crate::attacks::cosine::cosine;
use crate::attacks::nearest::Nearest;
use crate::engine::attack::{Attack, Attempt};
use crate::engine::criterion::Criterion;
use crate::engine::finding::{Finding, RunSelection};
use crate::engine::query::Model;
use crate::engine::sample::Sample;
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::losses::loss::Loss;
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// Sizes of the first and the last step.
const STEP_SIZES: [f64; 2] = [1.0, 0.01];

/// A gradient shorter than this counts as zero.
const ZERO: f32 = 1e-12;

/// Decoupled direction and norm (Rony et al. 2019, arXiv 1811.09600, algorithm 1): searches for the nearest adversarial
/// example in L2 with one gradient per step.
///
/// Each step follows the gradient `g` of the cross-entropy. The step size `α` falls from 1 to 0.01 along a cosine. The
/// offset from the clean image is then scaled to the radius `ε`, which shrinks if the point was adversarial and grows
/// otherwise: `δ ← δ + α g / ‖g‖₂`, `ε ← (1 ∓ γ) ε`, `x ← clip(x₀ + ε δ / ‖δ‖₂)`.
///
/// If the gradient is shorter than 1e-12, the direction is drawn from a normal distribution and not scaled to length
/// one, as in the reference implementation. The gradient of the cross-entropy is so short where the label's logit leads
/// by more than about 30. If a starting point is given with the sample
/// ([`Samples::with_starts`](crate::Samples::with_starts)), the search starts there instead of at the clean image; the
/// reference implementation has no such option.
///
/// The threat model's epsilon is the largest distance that counts as success. By default, all steps are made and the
/// nearest
/// adversarial example is returned ([`Depth::Nearest`](crate::Depth::Nearest)).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{Attack, DdnConfig, Norm, Samples, ThreatModel};
/// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
/// let images = Tensor::from_floats([[[[0.6, 0.3]]], [[[0.9, 0.1]]]], &Device::flex());
/// let samples = Samples::new(images, vec![0, 0])?;
/// let threat = ThreatModel::new(Norm::L2, 0.5)?;
/// let output = DdnConfig::new(threat).build()?.run(&victim, &samples)?;
/// // The boundary is 0.3/√2 = 0.212 away from the first image, and 0.566 from the second.
/// assert_eq!(output.fooled, [true, false]);
/// let points: Vec<f32> = output.adversarial.try_into_vec_as().unwrap();
/// let distance = threat.distance(samples.image(0), &points[..2]);
/// assert!((0.2121..0.2132).contains(&distance), "{distance}");
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Ddn {
    pub(super) config: DdnConfig,
}

impl Ddn {
    /// The norms that DDN supports.
    pub const NORMS: &'static [Norm] = &[Norm::L2];

    /// The settings.
    pub fn config(&self) -> &DdnConfig {
        &self.config
    }

    async fn search(&self, sample: Sample<'_>, mut model: Model) -> Result<Finding, AttackError> {
        let DdnConfig { threat, steps, gamma, levels, depth, .. } = self.config;
        let objective = sample.objective(Loss::CrossEntropy)?;
        let image = &sample.image;
        let farthest = Norm::L2.farthest_in_box(image);
        let mut draws = sample.draws(self.config.seed, &self.name());
        let mut nearest = Nearest::new(&sample, threat, depth);
        let rounded = |x: f32| levels.map_or(x, |levels| quantised(x, levels));
        let mut x: Vec<f32> = match sample.start_within(&threat) {
            Some(start) => start.into_iter().map(rounded).collect(),
            None => image.to_vec(),
        };
        let mut radius = self.config.radius;
        for step in 0..steps {
            // The last point needs no gradient, because no step follows it.
            let at = if step + 1 < steps {
                model.gradient(&x, |z, c| objective.evaluate(z, c)).await
            } else {
                model.loss(&x, |z, c| objective.evaluate(z, c)).await
            };
            if (at.fooled && nearest.note(&x, &at.logits)) || step + 1 == steps {
                break;
            }
            let mut direction = at.gradient;
            let length = Norm::L2.length(direction.iter().copied());
            if length < ZERO {
                direction.fill_with(|| draws.gaussian());
            } else {
                direction.iter_mut().for_each(|g| *g /= length);
            }
            radius = (radius * if at.fooled { 1.0 - gamma } else { 1.0 + gamma }).min(farthest);
            let [first, last] = STEP_SIZES;
            let step_size = cosine(step, steps, first, last) as f32;
            let offset = step_onto_sphere(image, &x, &direction, step_size, radius);
            x.iter_mut()
                .zip(image.iter())
                .zip(offset)
                .for_each(|((x, &x0), o)| *x = rounded((x0 + o).clamp(0.0, 1.0)));
        }
        Ok(nearest.into_finding())
    }
}

impl Attack for Ddn {
    fn name(&self) -> String {
        if self.config.targets == Targets::None { "ddn" } else { "ddn-t" }.to_string()
    }

    fn threat_model(&self) -> ThreatModel {
        self.config.threat
    }

    fn targets(&self) -> Targets {
        self.config.targets
    }

    fn run_selection(&self) -> RunSelection {
        self.config.depth.run_selection()
    }

    fn criterion(&self) -> Criterion {
        self.config.criterion
    }

    fn passes(&self, _classes: usize) -> u64 {
        self.config.steps as u64
    }

    fn attack<'a>(&'a self, sample: Sample<'a>, model: Model) -> Attempt<'a> {
        Box::pin(self.search(sample, model))
    }
}
