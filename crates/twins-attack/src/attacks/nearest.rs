use serde::{Deserialize, Serialize};

use crate::engine::finding::{Finding, RunSelection};
use crate::engine::sample::Sample;
use crate::norms::threat_model::ThreatModel;

/// When an attack stops that searches for the nearest adversarial example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// At the first successful point within epsilon. The sample then leaves the batch.
    WithinEpsilon,
    /// After all steps of all runs. The attack returns the nearest successful point. One run with a large epsilon
    /// therefore measures distances, and with them the robust accuracy at every smaller epsilon.
    Nearest,
}

impl Depth {
    /// How an attack with this depth combines its runs.
    pub fn run_selection(self) -> RunSelection {
        match self {
            Depth::WithinEpsilon => RunSelection::FirstFooled,
            Depth::Nearest => RunSelection::StrongestSuccess,
        }
    }
}

/// The nearest successful point of a run so far. Among equally near points, it is the first.
#[derive(Debug)]
pub(super) struct Nearest<'a> {
    sample: &'a Sample<'a>,
    threat: ThreatModel,
    depth: Depth,
    finding: Option<Finding>,
}

impl<'a> Nearest<'a> {
    pub(super) fn new(sample: &'a Sample<'a>, threat: ThreatModel, depth: Depth) -> Self {
        Self { sample, threat, depth, finding: None }
    }

    /// Records a successful point. Returns whether it ends the search.
    pub(super) fn note(&mut self, point: &[f32], logits: &[f32]) -> bool {
        let distance = self.threat.distance(&self.sample.image, point);
        if self.distance().is_none_or(|nearest| distance < nearest) {
            let (point, logits) = (point.to_vec(), logits.to_vec());
            self.finding = Some(Finding { point, fooled: true, logits, loss: -distance });
        }
        self.depth == Depth::WithinEpsilon && distance <= self.threat.epsilon()
    }

    /// The distance of the nearest point from the clean image; `None` before the first success.
    pub(super) fn distance(&self) -> Option<f32> {
        self.finding.as_ref().map(|finding| -finding.loss)
    }

    /// The result of the run. A point outside the threat model does not count.
    pub(super) fn into_finding(self) -> Finding {
        let within = |finding: &Finding| -finding.loss <= self.threat.epsilon();
        self.finding.filter(within).unwrap_or_else(|| self.sample.nothing_found())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::norms::norm::Norm;
    use std::sync::Arc;

    /// What a run finds that notes these points, and which of them ends it.
    fn noted(epsilon: f32, depth: Depth, points: &[[f32; 2]]) -> (Finding, Option<usize>) {
        let sample = Sample {
            id: 0,
            image: Arc::new([0.5, 0.5]),
            shape: [1, 1, 2],
            label: 0,
            target: None,
            start: None,
            clean: &[1.0, 0.0],
            run: 0,
            restart: 0,
            occurrence: 0,
            malt_order: Arc::default(),
        };
        let mut nearest = Nearest::new(&sample, ThreatModel::new(Norm::Linf, epsilon).unwrap(), depth);
        let ends = points.iter().position(|point| nearest.note(point, &[0.0, 1.0]));
        (nearest.into_finding(), ends)
    }

    #[test]
    fn the_first_of_the_nearest_points_is_kept() {
        let (finding, ends) =
            noted(1.0, Depth::Nearest, &[[0.75, 0.5], [0.5, 0.625], [0.625, 0.5], [0.0, 0.0]]);
        assert_eq!((finding.point, finding.loss, finding.fooled), (vec![0.5, 0.625], -0.125, true));
        assert_eq!(ends, None);
    }

    #[test]
    fn a_point_outside_is_no_result() {
        let (finding, _) = noted(0.1, Depth::Nearest, &[[0.75, 0.5]]);
        assert_eq!((finding.point, finding.fooled), (vec![0.5, 0.5], false));
        assert_eq!(finding.loss, f32::NEG_INFINITY);
    }

    #[test]
    fn a_point_within_epsilon_ends_a_search_that_needs_no_nearer_one() {
        let points = [[0.75, 0.5], [0.625, 0.5], [0.5, 0.5]];
        assert_eq!(noted(0.125, Depth::WithinEpsilon, &points).1, Some(1));
        assert_eq!(noted(0.125, Depth::Nearest, &points).1, None);
    }
}
