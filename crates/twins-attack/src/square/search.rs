use super::Square;
use super::proposal::{Window, shift, stripes, tiles};
use crate::loss::best_other;
use crate::{Draws, Finding, Need, Norm, Search, Step, Subject};

pub(super) struct SquareSearch<'a> {
    square: &'a Square,
    image: &'a [f32],
    shape: [usize; 3],
    label: usize,
    draws: Draws,
    /// The proposal that the model is asked about, and the best point so far with its logits and margin.
    point: Vec<f32>,
    best: Vec<f32>,
    best_logits: Vec<f32>,
    margin: f32,
    /// The only part in which the two differ (Linf).
    window: Window,
    query: usize,
    started: bool,
}

impl<'a> SquareSearch<'a> {
    pub(super) fn new(square: &'a Square, subject: &Subject<'a>, mut draws: Draws) -> Self {
        let threat = &square.config.threat;
        let point = match threat.norm() {
            Norm::Linf => stripes(threat.epsilon(), subject.image, subject.shape, &mut draws),
            _ => tiles(threat, subject.image, subject.shape, &mut draws),
        };
        Self {
            square,
            image: subject.image,
            shape: subject.shape,
            label: subject.label,
            draws,
            best: point.clone(),
            point,
            best_logits: Vec::new(),
            margin: f32::INFINITY,
            window: Window { top: 0, left: 0, height: 0, width: 0 },
            query: 0,
            started: false,
        }
    }

    /// Side of the square for the present query.
    fn side(&self) -> usize {
        let area = self.square.share(self.query) * (self.shape[1] * self.shape[2]) as f32;
        let side = area.sqrt().round() as usize;
        if self.square.config.threat.norm() == Norm::Linf {
            return side.max(1);
        }
        // The two halves of a bump need room, and its middle a middle.
        side.max(3) | 1
    }

    /// Makes the next proposal that changes anything; none if the budget is used up before.
    fn propose(&mut self) -> Step {
        let threat = &self.square.config.threat;
        while self.query < self.square.config.queries {
            let side = self.side();
            self.query += 1;
            if threat.norm() != Norm::Linf {
                self.point = shift(threat, self.image, &self.best, self.shape, side, &mut self.draws);
                return Step::Ask;
            }
            let epsilon = threat.epsilon();
            self.window = Window::draw(side, self.shape, &mut self.draws);
            let mut changes = false;
            for channel in 0..self.shape[0] {
                let change = epsilon * self.draws.sign();
                for i in self.window.places(self.shape, channel) {
                    self.point[i] = (self.image[i] + change).clamp(0.0, 1.0);
                    changes |= self.point[i] != self.best[i];
                }
            }
            if changes {
                return Step::Ask;
            }
        }
        Step::Done
    }

    /// Copies what differs between the proposal and the best point.
    fn settle(&mut self, accept: bool) {
        if self.square.config.threat.norm() != Norm::Linf {
            if accept {
                std::mem::swap(&mut self.best, &mut self.point);
            }
            return;
        }
        let (from, to) = if accept { (&self.point, &mut self.best) } else { (&self.best, &mut self.point) };
        for channel in 0..self.shape[0] {
            self.window.places(self.shape, channel).for_each(|i| to[i] = from[i]);
        }
    }
}

impl Search for SquareSearch<'_> {
    fn point(&self) -> &[f32] {
        &self.point
    }

    fn need(&self) -> Need {
        Need::Logits
    }

    fn cotangent(&mut self, _logits: &[f32], _cotangent: &mut [f32]) {}

    fn answer(&mut self, logits: &[f32], _gradient: &[f32]) -> Step {
        let other = best_other(logits, self.label);
        let margin = logits[self.label] - logits[other];
        // A tie counts as misclassified if the other class comes first.
        let fooled = margin < 0.0 || (margin == 0.0 && other < self.label);
        let accept = fooled || margin < self.margin || !self.started;
        if self.started {
            self.settle(accept);
        }
        self.started = true;
        if accept {
            self.margin = margin;
            self.best_logits.clear();
            self.best_logits.extend_from_slice(logits);
        }
        if fooled { Step::Done } else { self.propose() }
    }

    fn finish(self: Box<Self>) -> Finding {
        let fooled = crate::classifier::argmax(&self.best_logits) != self.label;
        Finding { point: self.best, fooled, logits: self.best_logits }
    }
}
