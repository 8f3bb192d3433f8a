use std::mem;

use super::config::{ApgdConfig, L1Phases};
use super::schedule::Schedule;
use crate::draws::Draws;
use crate::engine::attack::{Attack, Attempt};
use crate::engine::criterion::Criterion;
use crate::engine::finding::{Finding, Returned, RunSelection};
use crate::engine::query::{Model, Response};
use crate::engine::sample::Sample;
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::losses::loss::Loss;
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// Weight of the new step relative to the previous one: `α` in the paper.
const STEP_WEIGHT: f32 = 0.75;

/// Auto-PGD (Croce & Hein 2020, arXiv 2003.01690, algorithm 1; in L1 Croce & Hein 2021, arXiv 2103.01208,
/// algorithm 2).
///
/// In Linf and L2, with step size `η`, which starts at `2 ε`, and momentum: `z = Π(x + η · direction(∇ loss))`,
/// `x_new = Π(x + 0.75 (z - x) + 0.25 (x - x_prev))`. The step size is adapted at checkpoints, which come closer
/// together over time. It is halved, and the search resumes from the best point, if the loss rose in at most 75 % of
/// the steps since the last checkpoint, or if neither the step size nor the best loss has changed since then. L1 has no
/// momentum and its own schedule, which depends on the sparsity of the best point.
///
/// This implementation keeps two details of the reference implementation, so that trajectories agree. The very first
/// step counts as a rise if its loss is positive, and `x_prev` is kept when the search returns to the best point.
/// Unlike the reference, it also accepts a misclassified point of the first L1 phases that happens to lie within
/// epsilon.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{ApgdConfig, Attack, Norm, Samples, ThreatModel};
/// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
/// let images = Tensor::from_floats([[[[0.6, 0.5]]], [[[0.9, 0.1]]]], &Device::flex());
/// let samples = Samples::new(images, vec![0, 0])?;
/// let output = ApgdConfig::new(ThreatModel::new(Norm::Linf, 0.1)?).build()?.run(&victim, &samples)?;
/// assert_eq!(output.fooled, [true, false]);
/// // The first sample left the batch early: 1 forward on the clean image and up to 101 in the attack.
/// assert!(output.forwards < 2 + 2 * 101);
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Apgd {
    pub(super) config: ApgdConfig,
}

impl Apgd {
    /// The norms that APGD supports.
    pub const NORMS: &'static [Norm] = &[Norm::Linf, Norm::L2, Norm::L1];

    /// The settings.
    pub fn config(&self) -> &ApgdConfig {
        &self.config
    }

    async fn ascend(&self, sample: Sample<'_>, mut model: Model) -> Result<Finding, AttackError> {
        let objective = sample.objective(self.config.loss)?;
        let image = &sample.image;
        let phases = self.phases();
        let mut x = match sample.start_within(&self.config.threat) {
            Some(start) => start,
            None => random_start(&phases[0].0, image, &mut sample.draws(self.config.seed, &self.name())),
        };
        // A random start gives no information about the sparsity of the solution.
        let mut sparsity_known = sample.start.is_some();
        let mut result: Option<Best> = None;
        // The point before the last step, and a buffer for the next point.
        let (mut previous, mut next) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        for (ball, steps) in phases {
            // A later phase starts from the best point of the previous phase.
            if let Some(best) = result.take() {
                x = best.point;
                ball.project(image, &mut x);
            }
            let at = model.gradient(&x, |z, c| objective.evaluate(z, c)).await;
            if self.is_enough(&at, &x, image, &ball) {
                return Ok(at.finding_at(x));
            }
            let changed_values = sparsity_known.then(|| changed(&x, image));
            let mut schedule =
                Schedule::new(ball, steps, self.config.rho, at.loss, changed_values, image.len());
            sparsity_known = true;
            let mut best = Best { point: x.clone(), response: at };
            // The model's response at x, unless x is the best point.
            let mut here: Option<Response> = None;
            for step in 1..=steps {
                let gradient = &here.as_ref().unwrap_or(&best.response).gradient;
                // The first step has no momentum.
                let momentum = (step > 1).then_some(&previous[..]);
                advance(&ball, &schedule, image, &x, momentum, gradient, &mut next);
                // previous ← x ← next. The next step overwrites the old `previous`.
                mem::swap(&mut previous, &mut next);
                mem::swap(&mut previous, &mut x);
                // The last point needs no gradient, because no step follows it.
                let at = if step < steps {
                    model.gradient(&x, |z, c| objective.evaluate(z, c)).await
                } else {
                    model.loss(&x, |z, c| objective.evaluate(z, c)).await
                };
                if self.is_enough(&at, &x, image, &ball) {
                    return Ok(at.finding_at(x));
                }
                let loss = at.loss;
                here = if loss > best.response.loss {
                    best.point.copy_from_slice(&x);
                    best.response = at;
                    None
                } else {
                    Some(at)
                };
                let best_changed = || changed(&best.point, image);
                if schedule.after_step(loss, best.response.loss, best_changed, image.len()) {
                    x.copy_from_slice(&best.point);
                    here = None;
                }
            }
            result = Some(best);
        }
        Ok(result.map_or_else(|| sample.nothing_found(), |best| best.response.finding_at(best.point)))
    }

    /// Returns whether a point ends the search. A point of the larger L1 balls counts only if it lies within epsilon.
    fn is_enough(&self, at: &Response, x: &[f32], image: &[f32], ball: &ThreatModel) -> bool {
        let threat = &self.config.threat;
        let within = || ball.epsilon() <= threat.epsilon() || threat.distance(image, x) <= threat.epsilon();
        self.config.returned == Returned::FirstFooled && at.fooled && within()
    }

    /// The ball and the number of steps of each phase.
    pub(super) fn phases(&self) -> Vec<(ThreatModel, usize)> {
        let config = &self.config;
        if config.threat.norm() != Norm::L1 || config.l1_phases == L1Phases::Fixed {
            return vec![(config.threat, config.steps)];
        }
        // 30 %, rounded up, as published. If there are very few steps, the last one is reserved for the ball of radius
        // epsilon.
        let first = (3 * config.steps).div_ceil(10).min(config.steps - 1);
        let second = first.min(config.steps - 1 - first);
        let phases = [(3.0, first), (2.0, second), (1.0, config.steps - first - second)].into_iter();
        phases
            .filter(|(_, steps)| *steps > 0)
            .map(|(factor, steps)| (config.threat.scaled(factor), steps))
            .collect()
    }
}

/// The point with the largest loss, and the model's response there.
struct Best {
    point: Vec<f32>,
    response: Response,
}

/// Writes the point after a step along the gradient to `z`. The step has momentum if there is a previous point and the
/// norm is not L1.
fn advance(
    ball: &ThreatModel,
    schedule: &Schedule,
    image: &[f32],
    x: &[f32],
    previous: Option<&[f32]>,
    gradient: &[f32],
    z: &mut [f32],
) {
    ball.steepest(gradient, schedule.l1_support, z);
    z.iter_mut().zip(x).for_each(|(z, &x)| *z = x + schedule.step_size * *z);
    ball.project(image, z);
    if let Some(previous) = previous
        && ball.norm() != Norm::L1
    {
        for ((z, &x), &before) in z.iter_mut().zip(x).zip(previous) {
            *z = x + (*z - x) * STEP_WEIGHT + (x - before) * (1.0 - STEP_WEIGHT);
        }
        ball.project(image, z);
    }
}

/// The number of values in which a point differs from the clean image.
fn changed(point: &[f32], image: &[f32]) -> usize {
    point.iter().zip(image).filter(|(p, x)| p != x).count()
}

/// The published random starts. In Linf and L2, the start lies on the surface of the ball and is clipped to the box. In
/// L1, it is normal noise projected onto the ball of the first phase.
fn random_start(ball: &ThreatModel, image: &[f32], draws: &mut Draws) -> Vec<f32> {
    let norm = ball.norm();
    let mut point = ball.noise(image.len(), draws);
    // Finite, even if all draws are zero.
    let to_surface = (ball.reach() / norm.length(point.iter().copied())).min(f32::MAX);
    let scale = if norm == Norm::L1 { 1.0 } else { to_surface };
    point.iter_mut().zip(image).for_each(|(p, &x)| *p = x + scale * *p);
    ball.project(image, &mut point);
    point
}

impl Attack for Apgd {
    fn name(&self) -> String {
        let loss = match self.config.loss {
            Loss::CrossEntropy => "ce",
            Loss::Margin => "margin",
            Loss::Dlr => "dlr",
            Loss::ProbabilityMargin => "pma",
            Loss::Kl => "kl",
        };
        let chosen = if matches!(self.config.targets, Targets::Malt { .. }) { "-malt" } else { "" };
        match (self.config.targets, self.config.loss) {
            (Targets::None, _) => format!("apgd-{loss}"),
            (_, Loss::Dlr) => format!("apgd-t{chosen}"),
            _ => format!("apgd-t-{loss}{chosen}"),
        }
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
        (self.config.steps * self.config.eot + self.phases().len()) as u64
    }

    fn attack<'a>(&'a self, sample: Sample<'a>, model: Model) -> Attempt<'a> {
        Box::pin(self.ascend(sample, model))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::*;
    use crate::engine::run::AttackOutput;
    use crate::model::classifier::Classifier;
    use crate::samples::in_memory::Samples;

    fn config(norm: Norm, epsilon: f32) -> ApgdConfig {
        ApgdConfig::new(ThreatModel::new(norm, epsilon).unwrap()).with_steps(10)
    }

    fn image(pixels: &[f32]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(pixels.to_vec(), [1, 1, 1, pixels.len()]), &Device::flex())
    }

    /// Attacks one image of class 0 from a start.
    fn attacked(
        config: ApgdConfig,
        victim: &(dyn Classifier + Sync),
        clean: &[f32],
        start: &[f32],
    ) -> AttackOutput {
        let samples = Samples::new(image(clean), vec![0]).unwrap().with_starts(image(start)).unwrap();
        config.build().unwrap().run(victim, &samples).unwrap()
    }

    /// The pixels are the logits.
    fn pixels(images: Tensor<4>) -> Tensor<2> {
        images.flatten::<2>(1, 3)
    }

    #[test]
    fn phases_are_the_published_ones_and_the_last_step_is_at_epsilon() {
        let phases = |norm, l1_phases, steps| -> Vec<(f32, usize)> {
            let apgd = config(norm, 0.5).with_steps(steps).with_l1_phases(l1_phases).build().unwrap();
            apgd.phases().into_iter().map(|(ball, steps)| (ball.epsilon(), steps)).collect()
        };
        let shrinking = |steps| phases(Norm::L1, L1Phases::Shrinking, steps);
        assert_eq!(shrinking(100), [(1.5, 30), (1.0, 30), (0.5, 40)]);
        // 30 % of 4 are 2, rounded up.
        assert_eq!(shrinking(4), [(1.5, 2), (1.0, 1), (0.5, 1)]);
        assert_eq!(shrinking(2), [(1.5, 1), (0.5, 1)]);
        assert_eq!(shrinking(1), [(0.5, 1)]);
        assert_eq!(phases(Norm::L1, L1Phases::Fixed, 100), [(0.5, 100)]);
        assert_eq!(phases(Norm::Linf, L1Phases::Shrinking, 100), [(0.5, 100)]);
    }

    #[test]
    fn a_point_of_a_larger_ball_counts_if_it_lies_within_epsilon() {
        // Class 1 wins at the start, at distance 0.15: a pass over the clean image, two to check the gradient pass, the
        // query, and the check of the claim.
        let output = attacked(config(Norm::L1, 0.2), &pixels, &[0.6, 0.5], &[0.5, 0.55]);
        assert_eq!((output.fooled[0], output.forwards), (true, 1 + 2 + 1 + 1));
        // Class 1 wins beyond distance 0.1. Only the first ball, of radius 0.12, reaches so far, so the search makes all 10
        // steps, after the starts of 3 phases.
        let output = attacked(config(Norm::L1, 0.04), &pixels, &[0.6, 0.5], &[0.6, 0.5]);
        assert_eq!((output.fooled[0], output.forwards), (false, 1 + 2 + 10 + 3));
        assert_eq!(output.verification.claimed, 0);
    }

    #[test]
    fn an_equal_loss_does_not_replace_the_best_point() {
        // The loss is largest at 1/2, and a step of twice epsilon leads from one side of it to the other.
        let parabola = |images: Tensor<4>| {
            let offset = images.flatten::<2>(1, 3) - 0.5;
            let square = offset.clone() * offset;
            Tensor::cat(vec![square.clone() + 1.0, square * 0.0], 1)
        };
        let config = config(Norm::Linf, 0.125).with_steps(1).with_returned(Returned::BestLoss);
        let output = attacked(config, &parabola, &[0.5], &[0.375]);
        assert_eq!(output.adversarial.try_into_vec_as::<f32>().unwrap(), [0.375]);
    }

    #[test]
    fn a_wrong_class_other_than_the_target_is_a_success_unless_the_target_is_required() {
        // Class 1 wins at the start. Class 2, the least likely one, is out of reach.
        for (criterion, fooled) in [(Criterion::Misclassified, true), (Criterion::ClassifiedAsTarget, false)]
        {
            let config = config(Norm::Linf, 0.1).with_targets(Targets::LeastLikely).with_criterion(criterion);
            let output = attacked(config, &pixels, &[0.5, 0.45, 0.1], &[0.45, 0.5, 0.1]);
            assert_eq!(output.fooled, [fooled], "{criterion:?}");
        }
    }

    #[test]
    fn an_attack_that_fails_costs_its_budget() {
        // Class 0 wins whatever the image is.
        let victim = |images: Tensor<4>| {
            let logits = images.flatten::<2>(1, 3);
            logits.clone() + Tensor::<2>::from_floats([[100.0, 0.0]], &logits.device())
        };
        let config = config(Norm::L1, 0.25).with_eot(3).with_restarts(2);
        // Per restart, three gradients for each of 10 steps. The end of each of the three phases needs no gradient.
        assert_eq!(config.clone().build().unwrap().budget(2), 2 * (3 * 10 + 3));
        let output = attacked(config, &victim, &[0.6, 0.5], &[0.6, 0.5]);
        // And a pass over the clean image, and two that check the gradient pass.
        assert_eq!((output.forwards, output.backwards), (66 + 1 + 2, 60 + 2));
    }

    #[test]
    fn random_starts_are_the_published_ones() {
        let draws = || Draws::new(0, 0, "test", 0);
        for norm in [Norm::Linf, Norm::L2, Norm::L1] {
            let ball = ThreatModel::new(norm, 0.25).unwrap();
            let noise = ball.noise(40, &mut draws());
            // On the surface in Linf and L2.
            let scale = if norm == Norm::L1 { 1.0 } else { 0.25 / norm.length(noise.iter().copied()) };
            let mut expected: Vec<f32> = noise.iter().map(|t| 0.5 + scale * t).collect();
            ball.project(&[0.5; 40], &mut expected);
            let start = random_start(&ball, &[0.5; 40], &mut draws());
            assert_eq!(start, expected, "{norm}");
        }
    }
}
