use std::sync::Arc;

use super::Apgd;
use super::schedule::Schedule;
use crate::draws::Draws;
use crate::engine::goal::Returned;
use crate::engine::goal::Votes;
use crate::engine::search::{Finding, Need, Search, Step, Subject};
use crate::losses::loss::Aim;
use crate::model::classifier::argmax;
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// Weight of the new step against the last one.
const STEP_WEIGHT: f32 = 0.75;

pub(super) struct ApgdSearch<'a> {
    apgd: &'a Apgd,
    image: Arc<[f32]>,
    aim: Aim<'a>,
    phases: std::vec::IntoIter<(ThreatModel, usize)>,
    /// Ball and number of steps of the present phase.
    threat: ThreatModel,
    steps: usize,
    step: usize,
    random_start: bool,
    schedule: Schedule,
    point: Vec<f32>,
    /// The point from which the last step was made; empty before the first one.
    previous: Vec<f32>,
    ahead: Vec<f32>,
    loss: f32,
    /// The verdicts of the repeated passes over the point.
    votes: Votes,
    best: Best,
}

/// The point of largest loss.
struct Best {
    point: Vec<f32>,
    gradient: Vec<f32>,
    logits: Vec<f32>,
    loss: f32,
}

impl<'a> ApgdSearch<'a> {
    pub(super) fn new(
        apgd: &'a Apgd,
        subject: &Subject<'a>,
        target: Option<usize>,
        mut draws: Draws,
    ) -> Self {
        let mut phases = apgd.phases().into_iter();
        let (threat, steps) = phases.next().expect("there is always a phase");
        let image = subject.image.clone();
        let point = match subject.start_within(&apgd.config.threat) {
            Some(start) => start,
            None => random_start(&threat, &image, &mut draws),
        };
        let best =
            Best { point: point.clone(), gradient: Vec::new(), logits: Vec::new(), loss: f32::NEG_INFINITY };
        Self {
            apgd,
            aim: Aim { label: subject.label, target, clean: subject.clean },
            phases,
            threat,
            steps,
            step: 0,
            random_start: subject.start.is_none(),
            schedule: Schedule::new(threat, steps, apgd.config.rho, 0.0, None, image.len()),
            image,
            previous: Vec::new(),
            ahead: vec![0.0; point.len()],
            loss: 0.0,
            votes: Votes::default(),
            best,
            point,
        }
    }

    /// Takes the answer about the start of a phase, or about the point after a step; whether to go on from the best.
    fn record(&mut self, logits: &[f32], gradient: &[f32]) -> bool {
        let improved = self.step == 0 || self.loss > self.best.loss;
        if improved {
            self.best.loss = self.loss;
            self.best.point.copy_from_slice(&self.point);
            self.best.gradient.clear();
            self.best.gradient.extend_from_slice(gradient);
            self.best.logits.clear();
            self.best.logits.extend_from_slice(logits);
        }
        let values = self.image.len();
        if self.step == 0 {
            // A random start says nothing about how sparse the solution is.
            let random = std::mem::take(&mut self.random_start);
            let changed = (!random).then(|| changed(&self.point, &self.image));
            self.schedule =
                Schedule::new(self.threat, self.steps, self.apgd.config.rho, self.loss, changed, values);
            return false;
        }
        let (best, image) = (&self.best, &self.image);
        self.schedule.after_step(self.loss, best.loss, || changed(&best.point, image), values)
    }

    /// Moves the point along the gradient, with momentum.
    fn advance(&mut self, gradient: &[f32]) {
        let Self { threat, image, point, previous, ahead, schedule, .. } = self;
        threat.steepest(gradient, schedule.l1_support, ahead);
        ahead.iter_mut().zip(point.iter()).for_each(|(z, &x)| *z = x + schedule.step_size * *z);
        threat.project(image, ahead);
        // The first step has no momentum, and L1 never.
        if !previous.is_empty() && threat.norm() != Norm::L1 {
            for ((z, &x), &before) in ahead.iter_mut().zip(point.iter()).zip(previous.iter()) {
                *z = x + (*z - x) * STEP_WEIGHT + (x - before) * (1.0 - STEP_WEIGHT);
            }
            threat.project(image, ahead);
        }
        // previous ← point ← ahead, and the oldest buffer is written over next time.
        previous.resize(point.len(), 0.0);
        std::mem::swap(previous, ahead);
        std::mem::swap(previous, point);
        self.step += 1;
    }

    /// Starts the next phase from the best point.
    fn next_phase(&mut self) -> Step {
        match self.phases.next() {
            None => Step::Done,
            Some((threat, steps)) => {
                (self.threat, self.steps, self.step) = (threat, steps, 0);
                self.point.copy_from_slice(&self.best.point);
                self.threat.project(&self.image, &mut self.point);
                self.previous.clear();
                Step::Ask
            }
        }
    }
}

impl Search for ApgdSearch<'_> {
    fn point(&self) -> &[f32] {
        &self.point
    }

    fn need(&self) -> Need {
        if self.step == self.steps { Need::Logits } else { Need::Gradient }
    }

    fn cotangent(&mut self, logits: &[f32], cotangent: &mut [f32]) {
        self.loss = self.apgd.config.loss.evaluate(logits, self.aim, cotangent);
        self.votes.count(logits, self.aim.label, None);
    }

    fn answer(&mut self, logits: &[f32], gradient: &[f32]) -> Step {
        let config = &self.apgd.config;
        if gradient.is_empty() {
            self.loss = config.loss.evaluate(logits, self.aim, &mut vec![0.0; logits.len()]);
            self.votes.count(logits, self.aim.label, None);
        }
        let fooled = self.votes.take_majority();
        if config.returned == Returned::FirstFooled && fooled {
            // A point of the wide L1 balls counts only if it lies in the ball that is allowed.
            let within = self.threat.epsilon() <= config.threat.epsilon()
                || config.threat.distance(&self.image, &self.point) <= config.threat.epsilon();
            if within {
                self.best.point.copy_from_slice(&self.point);
                self.best.logits = logits.to_vec();
                self.best.loss = self.loss;
                return Step::Done;
            }
        }
        let return_to_best = self.record(logits, gradient);
        if self.step == self.steps {
            return self.next_phase();
        }
        if return_to_best {
            self.point.copy_from_slice(&self.best.point);
            let gradient = std::mem::take(&mut self.best.gradient);
            self.advance(&gradient);
            self.best.gradient = gradient;
        } else {
            self.advance(gradient);
        }
        Step::Ask
    }

    fn finish(self: Box<Self>) -> Finding {
        let fooled = argmax(&self.best.logits) != self.aim.label;
        let Best { point, logits, loss, .. } = self.best;
        Finding { point, fooled, target: None, logits, loss }
    }
}

/// In how many values a point differs from the clean image.
fn changed(point: &[f32], image: &[f32]) -> usize {
    point.iter().zip(image).filter(|(p, x)| p != x).count()
}

/// The published starts: on the surface of the Linf and L2 balls, clipped to the box; in L1 normal noise, projected onto
/// the ball of the first phase.
fn random_start(threat: &ThreatModel, image: &[f32], draws: &mut Draws) -> Vec<f32> {
    let mut point: Vec<f32> = match threat.norm() {
        Norm::Linf => image.iter().map(|_| draws.symmetric()).collect(),
        Norm::L2 | Norm::L1 => image.iter().map(|_| draws.gaussian()).collect(),
        Norm::L0 => unreachable!("ApgdConfig::build refuses L0"),
    };
    let norm = threat.norm();
    let scale = match norm {
        Norm::L1 => 1.0,
        Norm::Linf | Norm::L2 | Norm::L0 => threat.epsilon() / (norm.length(point.iter().copied()) + 1e-12),
    };
    point.iter_mut().zip(image).for_each(|(p, &x)| *p = x + scale * *p);
    threat.project(image, &mut point);
    point
}
