use std::mem;

use super::config::{PgdConfig, Start};
use crate::draws::Draws;
use crate::engine::attack::{Attack, Attempt};
use crate::engine::criterion::Criterion;
use crate::engine::finding::{Finding, Returned, RunSelection};
use crate::engine::query::Model;
use crate::engine::sample::Sample;
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// The attack's name in the key of its random draws.
pub(super) const DRAWS: &str = "pgd";

/// Projected gradient descent (Madry et al. 2018, arXiv 1706.06083):
/// `x ← Π(x + step · direction(∇ loss))`, with the steepest-ascent direction of the norm and the projection of the
/// [`ThreatModel`].
///
/// One step of length epsilon is FGSM ([`PgdConfig::fgsm`]). With momentum, it is MI-FGSM ([`PgdConfig::mi_fgsm`]).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{Attack, Norm, PgdConfig, Samples, ThreatModel};
/// // Two classes, told apart by which pixel is brighter.
/// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
/// let images = Tensor::from_floats([[[[0.6, 0.5]]], [[[0.9, 0.1]]]], &Device::flex());
/// let samples = Samples::new(images, vec![0, 0])?;
/// let pgd = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.1)?, 5, 0.05).build()?;
/// assert_eq!(pgd.run(&victim, &samples)?.fooled, [true, false]);
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Pgd {
    pub(super) config: PgdConfig,
}

impl Pgd {
    /// The norms that PGD supports. L0 is not among them, because the published step size for L0 is unrelated to
    /// epsilon, from which FGSM, MI-FGSM and users derive their step sizes.
    pub const NORMS: &'static [Norm] = &[Norm::Linf, Norm::L2, Norm::L1];

    /// The settings.
    pub fn config(&self) -> &PgdConfig {
        &self.config
    }

    async fn descend(&self, sample: Sample<'_>, mut model: Model) -> Result<Finding, AttackError> {
        let PgdConfig { threat, steps, step_size, momentum, returned, .. } = self.config;
        let objective = sample.objective(self.config.loss)?;
        let mut x = match sample.start_within(&threat) {
            Some(start) => start,
            None => self.start_of(&sample),
        };
        let mut velocity = vec![0.0; x.len()];
        let mut direction = vec![0.0; x.len()];
        let mut result = sample.nothing_found();
        for step in 0..=steps {
            let mut at = if step < steps {
                model.gradient(&x, |z, c| objective.evaluate(z, c)).await
            } else {
                model.loss(&x, |z, c| objective.evaluate(z, c)).await
            };
            let gradient = mem::take(&mut at.gradient);
            if returned == Returned::FirstFooled && at.fooled {
                return Ok(at.finding_at(x));
            }
            let keep = match returned {
                Returned::Last => step == steps,
                Returned::FirstFooled | Returned::BestLoss => at.loss > result.loss,
            };
            if keep {
                result = at.finding_at(x.clone());
            }
            if step == steps {
                break;
            }
            if momentum > 0.0 {
                accumulate(&mut velocity, momentum, &gradient);
                threat.steepest(&velocity, self.l1_support(x.len()), &mut direction);
            } else {
                threat.steepest(&gradient, self.l1_support(x.len()), &mut direction);
            }
            x.iter_mut().zip(&direction).for_each(|(x, d)| *x += step_size * d);
            threat.project(&sample.image, &mut x);
        }
        Ok(result)
    }

    /// The starting point of a run. From the clean image, every restart would repeat the first run.
    fn start_of(&self, sample: &Sample<'_>) -> Vec<f32> {
        let mut draws = sample.draws(self.config.seed, DRAWS);
        match self.config.start {
            Start::Clean if sample.restart > 0 => self.config.threat.random_start(&sample.image, &mut draws),
            _ => self.start(&sample.image, &mut draws),
        }
    }

    /// The starting point for a clean image.
    pub(super) fn start(&self, image: &[f32], draws: &mut Draws) -> Vec<f32> {
        match self.config.start {
            Start::Clean => image.to_vec(),
            Start::Uniform => self.config.threat.random_start(image, draws),
            Start::Gaussian(_) => {
                let mut point = self.offset(image.len(), draws).expect("noise does not depend on the image");
                point.iter_mut().zip(image).for_each(|(point, &x)| *point += x);
                self.config.threat.project(image, &mut point);
                point
            }
        }
    }

    /// The offset of the starting point from a clean image with this many values, before projection onto ball and box.
    /// It is `None` if it depends on the image or if nothing is drawn.
    pub(super) fn offset(&self, values: usize, draws: &mut Draws) -> Option<Vec<f32>> {
        match self.config.start {
            Start::Clean => None,
            Start::Uniform => self.config.threat.random_offset(values, draws),
            Start::Gaussian(deviation) => Some((0..values).map(|_| deviation * draws.gaussian()).collect()),
        }
    }

    /// The number of values that an L1 step changes.
    pub(super) fn l1_support(&self, values: usize) -> usize {
        ((self.config.l1_fraction * values as f32).round() as usize).max(1)
    }
}

/// The velocity of MI-FGSM: `v ← μ v + g / ‖g‖₁`.
fn accumulate(velocity: &mut [f32], momentum: f32, gradient: &[f32]) {
    let length = Norm::L1.length(gradient.iter().copied()) + 1e-12;
    velocity.iter_mut().zip(gradient).for_each(|(v, g)| *v = momentum * *v + g / length);
}

impl Attack for Pgd {
    fn name(&self) -> String {
        let config = &self.config;
        let name = match (config.steps, config.momentum > 0.0) {
            (1, false) if config.start == Start::Clean && config.step_size == config.threat.epsilon() => {
                return "fgsm".to_string();
            }
            (_, true) => "mi-fgsm",
            _ => "pgd",
        };
        format!("{name}-{}", config.steps)
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
        self.config.returned.run_selection()
    }

    fn criterion(&self) -> Criterion {
        self.config.criterion
    }

    fn eot(&self) -> usize {
        self.config.eot
    }

    fn passes(&self, _classes: usize) -> u64 {
        (self.config.steps * self.config.eot + 1) as u64
    }

    fn attack<'a>(&'a self, sample: Sample<'a>, model: Model) -> Attempt<'a> {
        Box::pin(self.descend(sample, model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threat() -> ThreatModel {
        ThreatModel::new(Norm::Linf, 0.5).unwrap()
    }

    #[test]
    fn fgsm_makes_one_step_of_epsilon_and_mi_fgsm_divides_it() {
        assert_eq!(PgdConfig::fgsm(threat()), PgdConfig::new(threat(), 1, 0.5));
        assert_eq!(PgdConfig::mi_fgsm(threat(), 4), PgdConfig::new(threat(), 4, 0.125).with_momentum(1.0));
        // Reports and journals have these names.
        let name = |config: PgdConfig| config.build().unwrap().name();
        assert_eq!(name(PgdConfig::fgsm(threat())), "fgsm");
        assert_eq!(name(PgdConfig::fgsm(threat()).with_start(Start::Uniform)), "pgd-1");
        assert_eq!(name(PgdConfig::new(threat(), 1, 0.125)), "pgd-1");
        assert_eq!(name(PgdConfig::mi_fgsm(threat(), 1)), "mi-fgsm-1");
    }

    #[test]
    fn a_step_in_l1_changes_at_least_one_value() {
        let support = |fraction, values| {
            let config = PgdConfig::new(threat(), 1, 0.1).with_l1_fraction(fraction);
            config.build().unwrap().l1_support(values)
        };
        assert_eq!([support(0.01, 10), support(0.01, 3072), support(1.0, 360)], [1, 31, 360]);
    }

    #[test]
    fn the_velocity_adds_gradients_of_length_one() {
        let mut velocity = vec![1.0, 0.0];
        accumulate(&mut velocity, 0.5, &[-3.0, 1.0]);
        assert_eq!(velocity, [-0.25, 0.25]);
    }
}
