use std::collections::HashSet;
use std::sync::Arc;

use super::Square;
use super::proposal::{Repaint, Shift, draw_stripes, draw_tiles, stripes, tiled};
use crate::draws::Draws;
use crate::engine::search::{Finding, Need, Search, Step, Subject};
use crate::losses::loss::best_other;
use crate::norms::norm::Norm;

/// Proposals that change more values than this hardly ever come again, and are not remembered.
const LONGEST_REMEMBERED: usize = 32;

pub(super) struct SquareSearch<'a> {
    square: &'a Square,
    image: Arc<[f32]>,
    shape: [usize; 3],
    label: usize,
    draws: Draws,
    /// The proposal that the model is asked about, and the best point so far with its logits and margin.
    point: Vec<f32>,
    best: Vec<f32>,
    best_logits: Vec<f32>,
    margin: f32,
    /// The places where the two differ (Linf). A value can only be at one of two, so these tell the proposal.
    changes: Vec<u32>,
    /// The proposals rejected since the best point was found: what the model says of them is known.
    rejected: HashSet<Box<[u32]>>,
    query: usize,
    started: bool,
}

impl<'a> SquareSearch<'a> {
    pub(super) fn new(square: &'a Square, subject: &Subject<'a>, mut draws: Draws) -> Self {
        let threat = &square.config.threat;
        let (image, shape) = (subject.image.clone(), subject.shape);
        let point = match threat.norm() {
            Norm::Linf => stripes(threat.epsilon(), &image, shape, &draw_stripes(shape, &mut draws)),
            Norm::L2 | Norm::L1 => tiled(threat, &image, shape, &draw_tiles(shape, &mut draws)),
            Norm::L0 => unreachable!("SquareConfig::build refuses L0"),
        };
        Self {
            square,
            image,
            shape,
            label: subject.label,
            draws,
            best: point.clone(),
            point,
            best_logits: Vec::new(),
            margin: f32::INFINITY,
            changes: Vec::new(),
            rejected: HashSet::new(),
            query: 0,
            started: false,
        }
    }

    /// Makes the next proposal whose answer is not known; none if the budget is used up before.
    fn propose(&mut self) -> Step {
        let threat = &self.square.config.threat;
        while self.query < self.square.config.queries {
            let side = self.square.side(self.query, self.shape);
            self.query += 1;
            if threat.norm() != Norm::Linf {
                let shift = Shift::draw(side, self.shape, &mut self.draws);
                self.point = shift.point(threat, &self.image, &self.best, self.shape);
                return Step::Ask;
            }
            let repaint = Repaint::draw(side, self.shape, &mut self.draws);
            self.changes.clear();
            for (i, value) in repaint.values(threat.epsilon(), &self.image, self.shape) {
                self.point[i] = value;
                if value != self.best[i] {
                    self.changes.push(i as u32);
                }
            }
            if !self.changes.is_empty() && !self.rejected.contains(&self.changes[..]) {
                return Step::Ask;
            }
            self.changes.iter().for_each(|&i| self.point[i as usize] = self.best[i as usize]);
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
        self.changes.iter().for_each(|&i| to[i as usize] = from[i as usize]);
        if accept {
            self.rejected.clear();
        } else if self.changes.len() <= LONGEST_REMEMBERED {
            self.rejected.insert(self.changes.as_slice().into());
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
        let fooled = crate::model::classifier::argmax(&self.best_logits) != self.label;
        Finding { point: self.best, fooled, target: None, logits: self.best_logits, loss: -self.margin }
    }
}
