use std::sync::Arc;

use super::{PgdConfig, Start};
use crate::draws::Draws;
use crate::engine::attack::Attack;
use crate::engine::goal::{Goal, Returned, RunSelection};
use crate::engine::goal::{Votes, reached};
use crate::engine::search::{Finding, Need, Search, Step, Subject};
use crate::error::AttackError;
use crate::losses::loss::Aim;
use crate::norms::threat_model::ThreatModel;

/// The attack's name in the key of its random draws.
pub(super) const DRAWS: &str = "pgd";

/// Projected gradient descent (Madry et al. 2018, arXiv 1706.06083):
/// `x ← Π(x + step · direction(∇ loss))`, with the steepest direction of the norm and the projection of the
/// [`ThreatModel`].
///
/// One step of length epsilon is FGSM ([`PgdConfig::fgsm`]), momentum makes it MI-FGSM ([`PgdConfig::mi_fgsm`]).
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
    /// The settings.
    pub fn config(&self) -> &PgdConfig {
        &self.config
    }

    /// The first point for a clean image.
    pub(super) fn start(&self, image: &[f32], draws: &mut Draws) -> Vec<f32> {
        match self.config.start {
            Start::Clean => image.to_vec(),
            Start::Uniform => self.config.threat.random_start(image, draws),
            Start::Gaussian(deviation) => {
                let mut point: Vec<f32> = image.iter().map(|&x| x + deviation * draws.gaussian()).collect();
                self.config.threat.project(image, &mut point);
                point
            }
        }
    }

    /// How many values an L1 step changes.
    pub(super) fn l1_support(&self, values: usize) -> usize {
        ((self.config.l1_share * values as f32).round() as usize).max(1)
    }
}

impl Attack for Pgd {
    fn name(&self) -> String {
        let config = &self.config;
        let name = match (config.steps, config.momentum > 0.0) {
            (1, false) if config.start == Start::Clean => return "fgsm".to_string(),
            (_, true) => "mi-fgsm",
            _ => "pgd",
        };
        format!("{name}-{}", config.steps)
    }

    fn threat_model(&self) -> ThreatModel {
        self.config.threat
    }

    fn run_selection(&self) -> RunSelection {
        self.config.returned.run_selection()
    }

    fn goal(&self) -> Goal {
        self.config.goal
    }

    fn repeats(&self) -> usize {
        self.config.eot
    }

    fn budget(&self, _classes: usize) -> u64 {
        (self.config.steps * self.config.eot + 1) as u64
    }

    fn search<'a>(&'a self, subject: &Subject<'a>, run: usize) -> Result<Box<dyn Search + 'a>, AttackError> {
        let target = self.config.goal.target(subject)?;
        self.config.loss.check(subject.clean.len(), target.is_some())?;
        let point = match subject.start_within(&self.config.threat) {
            Some(start) => start,
            None => self.start(&subject.image, &mut subject.draws(self.config.seed, DRAWS, run)),
        };
        Ok(Box::new(PgdSearch {
            pgd: self,
            image: subject.image.clone(),
            aim: Aim { label: subject.label, target, clean: subject.clean },
            direction: vec![0.0; point.len()],
            velocity: vec![0.0; if self.config.momentum > 0.0 { point.len() } else { 0 }],
            best: None,
            loss: f32::NEG_INFINITY,
            votes: Votes::default(),
            logits: Vec::new(),
            step: 0,
            point,
        }))
    }
}

struct PgdSearch<'a> {
    pgd: &'a Pgd,
    image: Arc<[f32]>,
    aim: Aim<'a>,
    point: Vec<f32>,
    direction: Vec<f32>,
    velocity: Vec<f32>,
    /// Loss, point and logits of the best iterate, kept only where it may be returned.
    best: Option<(f32, Vec<f32>, Vec<f32>)>,
    loss: f32,
    /// The verdicts of the repeated passes over the point.
    votes: Votes,
    logits: Vec<f32>,
    step: usize,
}

impl PgdSearch<'_> {
    fn last(&self) -> bool {
        self.step == self.pgd.config.steps
    }
}

impl Search for PgdSearch<'_> {
    fn point(&self) -> &[f32] {
        &self.point
    }

    fn need(&self) -> Need {
        if self.last() { Need::Logits } else { Need::Gradient }
    }

    fn cotangent(&mut self, logits: &[f32], cotangent: &mut [f32]) {
        self.loss = self.pgd.config.loss.evaluate(logits, self.aim, cotangent);
        self.votes.count(logits, self.aim.label, self.aim.target);
    }

    fn answer(&mut self, logits: &[f32], gradient: &[f32]) -> Step {
        let config = &self.pgd.config;
        if self.last() {
            self.loss = config.loss.evaluate(logits, self.aim, &mut vec![0.0; logits.len()]);
            self.votes.count(logits, self.aim.label, self.aim.target);
        }
        if config.returned != Returned::Last {
            let fooled = self.votes.take_majority() && config.returned == Returned::FirstFooled;
            if fooled || self.best.as_ref().is_none_or(|(loss, ..)| self.loss > *loss) {
                self.best = Some((self.loss, self.point.clone(), logits.to_vec()));
            }
            if fooled {
                return Step::Done;
            }
        }
        if self.last() {
            self.logits = logits.to_vec();
            return Step::Done;
        }
        let support = self.pgd.l1_support(self.point.len());
        if config.momentum > 0.0 {
            let length = crate::norms::norm::Norm::L1.length(gradient.iter().copied()) + 1e-12;
            for (v, &g) in self.velocity.iter_mut().zip(gradient) {
                *v = config.momentum * *v + g / length;
            }
            config.threat.steepest(&self.velocity, support, &mut self.direction);
        } else {
            config.threat.steepest(gradient, support, &mut self.direction);
        }
        self.point.iter_mut().zip(&self.direction).for_each(|(p, &d)| *p += config.step_size * d);
        config.threat.project(&self.image, &mut self.point);
        self.step += 1;
        Step::Ask
    }

    fn finish(self: Box<Self>) -> Finding {
        let (loss, point, logits) = match self.best {
            Some(best) => best,
            None => (self.loss, self.point, self.logits),
        };
        Finding {
            fooled: reached(&logits, self.aim.label, self.aim.target),
            target: self.aim.target,
            point,
            logits,
            loss,
        }
    }
}
