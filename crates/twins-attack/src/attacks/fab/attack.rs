use super::config::{FabCandidates, FabConfig};
use super::hyperplane::step_to_hyperplane;
use crate::attacks::nearest::Nearest;
use crate::draws::Draws;
use crate::engine::attack::{Attack, Attempt};
use crate::engine::finding::{Finding, RunSelection};
use crate::engine::query::{Model, Response};
use crate::engine::sample::Sample;
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::losses::difference::difference;
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// After this many consecutive points that are not misclassified, the attack assumes that the next one is not
/// misclassified either. A smaller number wastes more gradients than it saves forward passes (measured on the network
/// of `tests/it/mnist_autoattack.rs`).
const LIKELY_SHORT: usize = 6;

/// Fast adaptive boundary attack (Croce & Hein 2020, arXiv 1907.02044, algorithm 1): searches for the nearest
/// misclassified point.
///
/// Each step linearises the decision boundary at the current point `x`. Let `d` be the shortest step from `x` onto the
/// linearised boundary within the box, and `d'` the shortest such step from the clean image `x₀`. Then
/// `x ← (1 - α)(x + η d) + α (x₀ + η d')`, `α = min(‖d‖ / (‖d‖ + ‖d'‖), α_max)`. A misclassified `x` is recorded if it
/// is the nearest so far, and then pulled back: `x ← x₀ + β (x - x₀)`.
///
/// Two defaults differ from the reference implementation. A point that is still misclassified after it was pulled back
/// is recorded too; [`FabCandidates::AfterStep`] restores the behaviour of the reference. The first point within
/// epsilon ends the search; [`Depth::Nearest`](crate::Depth::Nearest) continues it. Restarts begin at a random point
/// half epsilon away from the clean image.
#[derive(Debug, Clone, PartialEq)]
pub struct Fab {
    pub(super) config: FabConfig,
}

impl Fab {
    /// The norms that FAB supports.
    pub const NORMS: &'static [Norm] = &[Norm::Linf, Norm::L2, Norm::L1];

    /// The settings.
    pub fn config(&self) -> &FabConfig {
        &self.config
    }

    async fn search(&self, sample: Sample<'_>, mut model: Model) -> Result<Finding, AttackError> {
        let FabConfig { threat, steps, eta, alpha_max, beta, candidates, depth, .. } = self.config;
        let (image, label) = (&sample.image, sample.label);
        // The classes that the point may be moved to.
        let classes = match sample.target {
            Some(target) => vec![target],
            None => (0..sample.clean.len()).filter(|&class| class != label).collect(),
        };
        let mut x = match sample.start_within(&threat) {
            Some(start) => start,
            None if sample.restart == 0 => image.to_vec(),
            None => random_start(&threat, image, &mut sample.draws(self.config.seed, &self.name())),
        };
        let mut nearest = Nearest::new(&sample, threat, depth);
        // The number of consecutive points that were not misclassified.
        let mut short_of_boundary = 0;
        // The response for the first class's boundary at x, if it is already known.
        let mut known: Option<Response> = None;
        for step in 1..=steps {
            let mut boundary: Option<Boundary> = None;
            for &class in &classes {
                let at = match known.take() {
                    Some(known) => known,
                    None => model.gradient(&x, |z, c| difference(z, c, class, label)).await,
                };
                // This point is the start, or a point that was pulled back.
                let candidate = at.fooled && candidates == FabCandidates::AfterPullBack;
                if candidate && nearest.note(&x, &at.logits) {
                    return Ok(nearest.into_finding());
                }
                let other = Boundary::new(at, threat.norm());
                if boundary.as_ref().is_none_or(|boundary| other.distance < boundary.distance) {
                    boundary = Some(other);
                }
            }
            let Some(boundary) = boundary else { break };
            let (d, d_image) = boundary.steps(threat.norm(), &x, image);
            let length = |d: &[f32]| threat.norm().length(d.iter().copied()).max(1e-8);
            let alpha = (length(&d) / (length(&d) + length(&d_image))).clamp(0.0, alpha_max);
            for (((x, &x0), d), d0) in x.iter_mut().zip(image.iter()).zip(d).zip(d_image) {
                *x = ((*x + eta * d) * (1.0 - alpha) + (x0 + eta * d0) * alpha).clamp(0.0, 1.0);
            }
            // The gradient at this point is needed only if the point is not misclassified either. Once that is likely,
            // the gradient is requested along with the logits, which saves a forward pass.
            let with_gradient = short_of_boundary >= LIKELY_SHORT && step < steps;
            let at = if with_gradient {
                model.gradient(&x, |z, c| difference(z, c, classes[0], label)).await
            } else {
                model.logits(&x).await
            };
            if at.fooled {
                if nearest.note(&x, &at.logits) {
                    return Ok(nearest.into_finding());
                }
                x.iter_mut().zip(image.iter()).for_each(|(x, &x0)| *x = x0 + (*x - x0) * beta);
                short_of_boundary = 0;
            } else {
                known = with_gradient.then_some(at);
                short_of_boundary += 1;
            }
        }
        Ok(nearest.into_finding())
    }
}

/// The linearised boundary `difference + normal · (z - x) = 0` between a class and the label.
struct Boundary {
    difference: f32,
    normal: Vec<f32>,
    /// Distance of `x` from the boundary in the norm, without the box.
    distance: f32,
}

impl Boundary {
    fn new(at: Response, norm: Norm) -> Self {
        // All supported norms have a dual norm.
        let dual = norm.dual().map_or(0.0, |dual| dual.length(at.gradient.iter().copied()));
        Self { difference: at.loss, distance: at.loss.abs() / (1e-12 + dual), normal: at.gradient }
    }

    /// The shortest steps onto the boundary within the box, from `x` and from the clean image.
    fn steps(&self, norm: Norm, x: &[f32], image: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let gap = f64::from(self.difference);
        // The gap at the clean image differs by the change of the linearised function between the two points.
        let way: f64 = (self.normal.iter().zip(x).zip(image))
            .map(|((&w, &x), &x0)| f64::from(w) * (f64::from(x0) - f64::from(x)))
            .sum();
        let mut steps = (vec![0.0; x.len()], vec![0.0; x.len()]);
        step_to_hyperplane(norm, x, &self.normal, gap, &mut steps.0);
        step_to_hyperplane(norm, image, &self.normal, gap + way, &mut steps.1);
        steps
    }
}

/// A point half epsilon away from the clean image in a random direction, clipped to the box.
fn random_start(threat: &ThreatModel, image: &[f32], draws: &mut Draws) -> Vec<f32> {
    let mut point = threat.noise(image.len(), draws);
    let scale = 0.5 * threat.reach() / (threat.norm().length(point.iter().copied()) + 1e-12);
    point.iter_mut().zip(image).for_each(|(p, &x)| *p = (x + scale * *p).clamp(0.0, 1.0));
    point
}

impl Attack for Fab {
    fn name(&self) -> String {
        if self.config.targets == Targets::None { "fab" } else { "fab-t" }.to_string()
    }

    fn threat_model(&self) -> ThreatModel {
        self.config.threat
    }

    fn targets(&self) -> Targets {
        self.config.targets
    }

    fn restarts(&self) -> usize {
        self.config.restarts
    }

    fn run_selection(&self) -> RunSelection {
        self.config.depth.run_selection()
    }

    fn passes(&self, classes: usize) -> u64 {
        let gradients = if self.config.targets == Targets::None { classes - 1 } else { 1 };
        // Each step evaluates a new point, and then its gradients unless they were computed along with it.
        (self.config.steps * (gradients + 1)) as u64
    }

    fn attack<'a>(&'a self, sample: Sample<'a>, model: Model) -> Attempt<'a> {
        Box::pin(self.search(sample, model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_begin_half_epsilon_away_inside_the_box() {
        for norm in Fab::NORMS {
            let threat = ThreatModel::new(*norm, 0.5).unwrap();
            let mut draws = Draws::new(0, 0, "test", 0);
            let [first, second] = [0; 2].map(|_| random_start(&threat, &[0.5; 6], &mut draws));
            // A few roundings of f32.
            let distance = threat.distance(&[0.5; 6], &first);
            assert!((distance - 0.25).abs() < 1e-6, "{norm}: {distance}");
            assert_ne!(first, second, "{norm}");
            let corner = random_start(&threat, &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0], &mut draws);
            assert!(corner.iter().all(|value| (0.0..=1.0).contains(value)), "{norm}: {corner:?}");
        }
    }
}
