use std::collections::HashSet;

use super::config::{SquareConfig, SquareSchedule};
use super::repaint::{Repaint, draw_stripes, stripes};
use super::shift::{Shift, draw_tiles, tiled};
use crate::engine::attack::{Attack, Attempt};
use crate::engine::finding::Finding;
use crate::engine::query::{Model, Response};
use crate::engine::sample::Sample;
use crate::error::AttackError;
use crate::losses::ranking::best_other;
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// The attack's name, also in the key of its random draws.
const NAME: &str = "square";

/// Square attack (Andriushchenko et al. 2020, arXiv 1912.00049; in L1 as in the authors' code in AutoAttack): random
/// search that needs no gradients. It minimises the margin `z_y - max_{i≠y} z_i` over perturbations on the surface of
/// the ball. Each proposal redraws the perturbation in one square; in L2 and L1 it moves perturbation from one square
/// to another. A proposal is kept if it lowers the margin.
///
/// Deviations from the reference implementation:
///
/// * Each sample has its own draws. In the reference, all samples of a batch share the positions and halves of the
///   squares, and in Linf also the signs.
/// * Squares can reach the last row and column. In the reference, they never do.
/// * In Linf, a proposal is not sent to the model if its result is known: if the square already has those values, or if
///   the same change of at most 32 values to the same point was rejected before.
/// * If two logits are equal, the search ends only if the other class comes first, so that the model misclassifies the
///   point. The reference stops at every tie and judges the point by the predicted class.
#[derive(Debug, Clone, PartialEq)]
pub struct Square {
    pub(super) config: SquareConfig,
}

impl Square {
    /// The norms that Square supports.
    pub const NORMS: &'static [Norm] = &[Norm::Linf, Norm::L2, Norm::L1];

    /// The settings.
    pub fn config(&self) -> &SquareConfig {
        &self.config
    }

    /// The search in Linf: each proposal sets the values of one square to the image plus or minus epsilon.
    async fn search_linf(&self, sample: Sample<'_>, mut model: Model) -> Result<Finding, AttackError> {
        let epsilon = self.config.threat.epsilon();
        let (image, shape) = (&sample.image, sample.shape);
        let mut draws = sample.draws(self.config.seed, NAME);
        let mut x = stripes(epsilon, image, shape, &draw_stripes(shape, &mut draws));
        let mut best = model.logits(&x).await;
        let (mut change, mut known) = (Change::default(), Rejected::default());
        for query in 0..self.config.queries {
            if best.fooled {
                break;
            }
            let repaint = Repaint::draw(self.side(query, shape), shape, &mut draws);
            change.make(&mut x, repaint.values(epsilon, image, shape));
            if change.is_nothing() || known.contains(&change) {
                change.undo(&mut x);
                continue;
            }
            let at = model.logits(&x).await;
            if at.fooled || margin(&at, sample.label) < margin(&best, sample.label) {
                best = at;
                known.forget();
            } else {
                change.undo(&mut x);
                known.remember(&change);
            }
        }
        Ok(Finding { loss: -margin(&best, sample.label), ..best.finding_at(x) })
    }

    /// The search in L2 and L1: each proposal moves perturbation from one square to another.
    async fn search_shifting(&self, sample: Sample<'_>, mut model: Model) -> Result<Finding, AttackError> {
        let threat = &self.config.threat;
        let (image, shape) = (&sample.image, sample.shape);
        let mut draws = sample.draws(self.config.seed, NAME);
        let mut x = tiled(threat, image, shape, &draw_tiles(shape, &mut draws));
        let mut best = model.logits(&x).await;
        for query in 0..self.config.queries {
            if best.fooled {
                break;
            }
            let shift = Shift::draw(self.side(query, shape), shape, &mut draws);
            let proposal = shift.point(threat, image, &x, shape);
            let at = model.logits(&proposal).await;
            if at.fooled || margin(&at, sample.label) < margin(&best, sample.label) {
                (x, best) = (proposal, at);
            }
        }
        Ok(Finding { loss: -margin(&best, sample.label), ..best.finding_at(x) })
    }

    /// The fraction of the image that the square of this query covers.
    pub(super) fn fraction(&self, query: usize) -> f32 {
        let query = match self.config.schedule {
            SquareSchedule::Published => query,
            SquareSchedule::Rescaled => (query as f64 / self.config.queries as f64 * 10_000.0) as usize,
        };
        let halvings =
            [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000].iter().filter(|&&at| query > at).count();
        self.config.first_fraction * 0.5_f32.powi(halvings as i32)
    }

    /// The side length of the square of this query.
    pub(super) fn side(&self, query: usize, [_, height, width]: [usize; 3]) -> usize {
        let area = f64::from(self.fraction(query)) * (height * width) as f64;
        let side = area.sqrt().round() as usize;
        if self.config.threat.norm() == Norm::Linf {
            side.max(1)
        } else {
            // The two halves of a bump need room, and an odd side gives the bump a middle.
            side.max(3) | 1
        }
    }
}

/// The difference between the label's logit and the largest other logit.
fn margin(at: &Response, label: usize) -> f32 {
    at.logits[label] - at.logits[best_other(&at.logits, label)]
}

/// The change made by a proposal: the indices of the changed values, and their previous values.
#[derive(Default)]
struct Change {
    /// In Linf a value has only two possible states, so the indices identify the proposal.
    places: Vec<u32>,
    before: Vec<f32>,
}

impl Change {
    /// Writes values at the given indices of a point.
    fn make(&mut self, x: &mut [f32], values: impl Iterator<Item = (usize, f32)>) {
        self.places.clear();
        self.before.clear();
        for (place, value) in values {
            if x[place] != value {
                self.places.push(place as u32);
                self.before.push(x[place]);
                x[place] = value;
            }
        }
    }

    fn is_nothing(&self) -> bool {
        self.places.is_empty()
    }

    fn undo(&self, x: &mut [f32]) {
        self.places.iter().zip(&self.before).for_each(|(&place, &before)| x[place as usize] = before);
    }
}

/// The proposals that were rejected since the best point was found. Their results are known.
#[derive(Default)]
struct Rejected(HashSet<Box<[u32]>>);

impl Rejected {
    /// Proposals that change more values than this hardly ever recur and are not remembered.
    const LONGEST: usize = 32;

    fn contains(&self, change: &Change) -> bool {
        self.0.contains(&change.places[..])
    }

    fn remember(&mut self, change: &Change) {
        if change.places.len() <= Self::LONGEST {
            self.0.insert(change.places[..].into());
        }
    }

    fn forget(&mut self) {
        self.0.clear();
    }
}

impl Attack for Square {
    fn name(&self) -> String {
        NAME.to_string()
    }

    fn threat_model(&self) -> ThreatModel {
        self.config.threat
    }

    fn uses_gradients(&self) -> bool {
        false
    }

    fn passes(&self, _classes: usize) -> u64 {
        self.config.queries as u64
    }

    fn attack<'a>(&'a self, sample: Sample<'a>, model: Model) -> Attempt<'a> {
        if self.config.threat.norm() == Norm::Linf {
            Box::pin(self.search_linf(sample, model))
        } else {
            Box::pin(self.search_shifting(sample, model))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use burn::tensor::{Device, Tensor, TensorData};

    use super::*;
    use crate::draws::Draws;
    use crate::samples::in_memory::Samples;

    #[test]
    fn fractions_halve_at_the_published_queries() {
        let config = SquareConfig::new(ThreatModel::new(Norm::Linf, 0.1).unwrap());
        let published = config.clone().build().unwrap();
        assert_eq!([0, 10, 11, 51, 4999].map(|q| published.fraction(q)), [0.8, 0.8, 0.4, 0.2, 0.006_25]);
        let rescaled = config.with_queries(1000).with_schedule(SquareSchedule::Rescaled).build().unwrap();
        assert_eq!([1, 2, 900].map(|q| rescaled.fraction(q)), [0.8, 0.4, 0.8 / 512.0]);
    }

    #[test]
    fn proposals_that_are_not_sent_would_have_been_rejected() {
        const SHAPE: [usize; 3] = [2, 3, 3];
        const QUERIES: usize = 300;
        let (device, image) = (Device::flex(), [0.5; 18]);
        // A quadratic form: changes that were rejected at one point can be accepted at another. It stays below 100.
        let mut draws = Draws::new(0, 0, "weights", 0);
        let weights: Vec<f32> = (0..18 * 18).map(|_| draws.gaussian()).collect();
        let weights = Tensor::<2>::from_data(TensorData::new(weights, [18, 18]), &device);
        let sent = AtomicUsize::new(0);
        let victim = |images: Tensor<4>| {
            sent.fetch_add(images.dims()[0], Ordering::Relaxed);
            let x = images.flatten::<2>(1, 3) - 0.5;
            let form = (x.clone().matmul(weights.clone()) * x).sum_dim(1);
            Tensor::cat(vec![form.clone() * 0.0 + 100.0, form], 1)
        };
        let threat = ThreatModel::new(Norm::Linf, 0.25).unwrap();
        let square = SquareConfig::new(threat).with_queries(QUERIES).build().unwrap();
        let found: Vec<Vec<f32>> = (0..8)
            .map(|id| {
                let samples = Samples::new(Tensor::full([1, 2, 3, 3], 0.5, &device), vec![0]).unwrap();
                let output = square.run(&victim, &samples.with_ids(vec![id]).unwrap()).unwrap();
                output.adversarial.try_into_vec_as::<f32>().unwrap()
            })
            .collect();
        let sent_by_square = sent.swap(0, Ordering::Relaxed);
        // The same search, in which the model is asked about every proposal.
        let margin = |point: &[f32]| {
            let images = Tensor::from_data(TensorData::new(point.to_vec(), [1, 2, 3, 3]), &device);
            let logits = victim(images).try_into_vec_as::<f32>().unwrap();
            logits[0] - logits[1]
        };
        for (id, found) in found.iter().enumerate() {
            let mut draws = Draws::new(0, id as u64, NAME, 0);
            let mut x = stripes(0.25, &image, SHAPE, &draw_stripes(SHAPE, &mut draws));
            let mut best = margin(&x);
            for query in 0..QUERIES {
                let repaint = Repaint::draw(square.side(query, SHAPE), SHAPE, &mut draws);
                let mut proposal = x.clone();
                repaint.values(0.25, &image, SHAPE).for_each(|(place, value)| proposal[place] = value);
                let at = margin(&proposal);
                if at < best {
                    (x, best) = (proposal, at);
                }
            }
            assert_eq!(*found, x, "sample {id}");
        }
        assert!(sent_by_square < sent.into_inner() / 2, "{sent_by_square}");
    }

    #[test]
    fn a_change_is_what_differs_and_can_be_undone() {
        let mut x = [0.1, 0.2, 0.3];
        let mut change = Change::default();
        change.make(&mut x, [(0, 0.1), (2, 0.9)].into_iter());
        assert_eq!((x, &change.places[..]), ([0.1, 0.2, 0.9], &[2][..]));
        change.undo(&mut x);
        assert_eq!(x, [0.1, 0.2, 0.3]);
    }
}
