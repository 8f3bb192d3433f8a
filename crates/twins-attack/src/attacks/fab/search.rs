use std::sync::Arc;

use super::hyperplane::step_to_hyperplane;
use super::{Fab, FabCandidates, FabDepth};
use crate::draws::Draws;
use crate::engine::search::{Finding, Need, Search, Step, Subject};
use crate::model::classifier::argmax;
use crate::norms::norm::Norm;

/// After so many points in a row that are not misclassified, the next one is taken not to be: fewer make for more
/// gradients in vain than forward passes saved (measured on the net of `tests/it/mnist_autoattack.rs`).
const LIKELY_SHORT: usize = 6;

/// What the search is about to be told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// On which side of the boundary a new point lies.
    Verdict,
    /// The linearised boundary at the point.
    Boundary,
}

/// A class that the point may be moved to: the linearised boundary `z_class - z_label = 0`.
struct Boundary {
    difference: f32,
    normal: Vec<f32>,
    /// Distance of the boundary in the norm, without the box.
    distance: f32,
}

pub(super) struct FabSearch<'a> {
    fab: &'a Fab,
    image: Arc<[f32]>,
    clean: &'a [f32],
    label: usize,
    /// The classes to look at from each point, and which of them is next.
    classes: Vec<usize>,
    next_class: usize,
    nearest_boundary: Option<Boundary>,
    point: Vec<f32>,
    waiting: Waiting,
    step: usize,
    /// How many points in a row have not been misclassified. The gradient at the next point is wanted only if it is not
    /// misclassified either; it is asked for along with the logits, saving a forward pass, once that is likely.
    short_of_boundary: usize,
    best: Option<(f32, Vec<f32>, Vec<f32>)>,
    buffers: [Vec<f32>; 2],
}

impl<'a> FabSearch<'a> {
    pub(super) fn new(
        fab: &'a Fab,
        subject: &Subject<'a>,
        target: Option<usize>,
        draws: Option<Draws>,
    ) -> Self {
        let image = subject.image.clone();
        let classes = match target {
            Some(target) => vec![target],
            None => (0..subject.clean.len()).filter(|&class| class != subject.label).collect(),
        };
        let point = match (subject.start_within(&fab.config.threat), draws) {
            (Some(start), _) => start,
            (None, Some(mut draws)) => random_start(fab, &image, &mut draws),
            (None, None) => image.to_vec(),
        };
        Self {
            fab,
            clean: subject.clean,
            label: subject.label,
            classes,
            next_class: 0,
            nearest_boundary: None,
            point,
            waiting: Waiting::Boundary,
            step: 0,
            short_of_boundary: 0,
            best: None,
            buffers: [vec![0.0; image.len()], vec![0.0; image.len()]],
            image,
        }
    }

    fn last(&self) -> bool {
        self.step == self.fab.config.steps
    }

    /// Notes a misclassified point if it is the nearest so far; whether that ends the search.
    fn note(&mut self, logits: &[f32]) -> bool {
        let threat = &self.fab.config.threat;
        let distance = threat.distance(&self.image, &self.point);
        if self.best.as_ref().is_none_or(|(nearest, ..)| distance < *nearest) {
            self.best = Some((distance, self.point.clone(), logits.to_vec()));
        }
        self.fab.config.depth == FabDepth::WithinEpsilon && distance <= threat.epsilon()
    }

    /// Takes the gradient of one class's boundary; whether all classes are known.
    fn linearise(&mut self, logits: &[f32], gradient: &[f32]) -> bool {
        let difference = logits[self.classes[self.next_class]] - logits[self.label];
        let dual = self.fab.config.threat.norm().dual().expect("FabConfig::build refuses L0");
        let distance = difference.abs() / (1e-12 + dual.length(gradient.iter().copied()));
        if self.nearest_boundary.as_ref().is_none_or(|nearest| distance < nearest.distance) {
            self.nearest_boundary = Some(Boundary { difference, normal: gradient.to_vec(), distance });
        }
        self.next_class = (self.next_class + 1) % self.classes.len();
        self.next_class == 0
    }

    /// Moves the point onto, and a little beyond, the nearest linearised boundary.
    fn advance(&mut self) {
        let Some(boundary) = self.nearest_boundary.take() else { return };
        let config = &self.fab.config;
        let norm = config.threat.norm();
        let [from_point, from_image] = &mut self.buffers;
        // normal · (z - x) = -gap, with the model's linearisation zero on the plane; seen from the clean image the gap
        // is smaller by what the way there has brought.
        let gap = f64::from(boundary.difference);
        let way: f64 = (boundary.normal.iter().zip(&self.point).zip(self.image.iter()))
            .map(|((&w, &p), &x)| f64::from(w) * (f64::from(x) - f64::from(p)))
            .sum();
        step_to_hyperplane(norm, &self.point, &boundary.normal, gap, from_point);
        step_to_hyperplane(norm, &self.image, &boundary.normal, gap + way, from_image);
        let length = |step: &[f32]| norm.length(step.iter().copied()).max(1e-8);
        let (a, b) = (length(from_point), length(from_image));
        let alpha = (a / (a + b)).clamp(0.0, config.alpha_max);
        for (((p, &x), &d), &d0) in
            self.point.iter_mut().zip(self.image.iter()).zip(&*from_point).zip(&*from_image)
        {
            *p = ((*p + config.eta * d) * (1.0 - alpha) + (x + config.eta * d0) * alpha).clamp(0.0, 1.0);
        }
        self.step += 1;
    }

    fn pull_back(&mut self) {
        for (p, &x) in self.point.iter_mut().zip(self.image.iter()) {
            *p = x + (*p - x) * self.fab.config.beta;
        }
    }
}

impl Search for FabSearch<'_> {
    fn point(&self) -> &[f32] {
        &self.point
    }

    fn need(&self) -> Need {
        let likely = self.short_of_boundary >= LIKELY_SHORT && !self.last();
        let no_gradient = self.waiting == Waiting::Verdict && !likely;
        if no_gradient { Need::Logits } else { Need::Gradient }
    }

    fn cotangent(&mut self, _logits: &[f32], cotangent: &mut [f32]) {
        cotangent[self.classes[self.next_class]] = 1.0;
        cotangent[self.label] = -1.0;
    }

    fn answer(&mut self, logits: &[f32], gradient: &[f32]) -> Step {
        let misclassified = argmax(logits) != self.label;
        // In the other state the point is a start or was pulled back.
        let candidate =
            self.waiting == Waiting::Verdict || self.fab.config.candidates == FabCandidates::AfterPullBack;
        if misclassified && candidate && self.note(logits) {
            return Step::Done;
        }
        if self.waiting == Waiting::Verdict {
            if self.last() {
                return Step::Done;
            }
            self.waiting = Waiting::Boundary;
            self.short_of_boundary = if misclassified { 0 } else { self.short_of_boundary + 1 };
            if misclassified {
                self.pull_back();
                return Step::Ask;
            }
            if gradient.is_empty() {
                return Step::Ask;
            }
        }
        if self.linearise(logits, gradient) {
            self.advance();
            self.waiting = Waiting::Verdict;
        }
        Step::Ask
    }

    fn finish(self: Box<Self>) -> Finding {
        let config = &self.fab.config;
        match self.best {
            Some((distance, point, logits)) if distance <= config.threat.epsilon() => {
                Finding { point, fooled: true, target: None, logits, loss: -distance }
            }
            _ => Finding {
                point: self.image.to_vec(),
                fooled: false,
                target: None,
                logits: self.clean.to_vec(),
                loss: f32::NEG_INFINITY,
            },
        }
    }
}

/// Half epsilon away from the clean image in a random direction, clipped to the box.
fn random_start(fab: &Fab, image: &[f32], draws: &mut Draws) -> Vec<f32> {
    let threat = &fab.config.threat;
    let mut point: Vec<f32> = match threat.norm() {
        Norm::Linf => image.iter().map(|_| draws.symmetric()).collect(),
        Norm::L2 | Norm::L1 => image.iter().map(|_| draws.gaussian()).collect(),
        Norm::L0 => unreachable!("FabConfig::build refuses L0"),
    };
    let scale = 0.5 * threat.epsilon() / (threat.norm().length(point.iter().copied()) + 1e-12);
    point.iter_mut().zip(image).for_each(|(p, &x)| *p = (x + scale * *p).clamp(0.0, 1.0));
    point
}
