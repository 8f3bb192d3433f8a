use serde::{Deserialize, Serialize};

use super::search::SquareSearch;
use crate::engine::attack::Attack;
use crate::engine::search::{Search, Subject};
use crate::error::AttackError;
use crate::norms::norm::{Norm, check_norm};
use crate::norms::threat_model::ThreatModel;

/// At which queries Square halves the share of the image that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SquareSchedule {
    /// At 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000, whatever the budget (as AutoAttack does).
    Published,
    /// At the same fractions of the budget, the published numbers belonging to 10 000 queries.
    Rescaled,
}

/// Settings of [`Square`].
///
/// | setting | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | | allowed perturbations | |
/// | `queries` | 5000 | proposals per sample | ≥ 1 |
/// | `first_share` | 0.8 | share of the image that the first squares change | (0, 1] |
/// | `schedule` | published | when the share is halved | |
/// | `seed` | 0 | seed of the search | |
///
/// ```
/// use twins_attack::{Norm, SquareConfig, ThreatModel};
/// let threat = ThreatModel::new(Norm::Linf, 8.0 / 255.0)?;
/// let square = SquareConfig::new(threat).with_queries(1000).build()?;
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SquareConfig {
    pub(super) threat: ThreatModel,
    pub(super) queries: usize,
    pub(super) first_share: f32,
    pub(super) schedule: SquareSchedule,
    pub(super) seed: u64,
}

impl SquareConfig {
    /// Square with the settings of AutoAttack.
    pub fn new(threat: ThreatModel) -> Self {
        Self { threat, queries: 5000, first_share: 0.8, schedule: SquareSchedule::Published, seed: 0 }
    }

    /// Sets the number of proposals.
    pub fn with_queries(mut self, queries: usize) -> Self {
        self.queries = queries;
        self
    }

    /// Sets the share of the image that the first squares change.
    pub fn with_first_share(mut self, first_share: f32) -> Self {
        self.first_share = first_share;
        self
    }

    /// Sets when the share is halved.
    pub fn with_schedule(mut self, schedule: SquareSchedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Sets the seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`AttackError::UnsupportedNorm`]; a setting outside its range, see the table above.
    pub fn build(self) -> Result<Square, AttackError> {
        check_norm("Square", self.threat.norm(), &[Norm::Linf, Norm::L2, Norm::L1])?;
        if self.queries == 0 {
            return Err(AttackError::ZeroSteps { attack: "Square", what: "queries" });
        }
        if !(self.first_share > 0.0 && self.first_share <= 1.0) {
            return Err(AttackError::OutOfRange {
                name: "the share of the image that the first squares change",
                value: self.first_share,
                range: "(0, 1]",
            });
        }
        Ok(Square { config: self })
    }
}

/// Square attack (Andriushchenko et al. 2020, arXiv 1912.00049; in L1 as in the authors' code in AutoAttack): random
/// search on the margin `z_y - max_{i≠y} z_i` over perturbations on the surface of the ball. Each proposal redraws the
/// perturbation in one square (in L2 and L1 it moves perturbation from one square to another) and is kept if it lowers the
/// margin.
///
/// Deviations from the reference implementation:
///
/// * Each sample has its own draws. The reference shares the squares' places and halves among the samples of a batch, and
///   in Linf the signs too.
/// * Squares reach the last row and column, which the reference's never do.
/// * In Linf a proposal is not sent to the model if the result is known: the square has those values already, or the same
///   change to the same point was rejected before.
/// * Two equal logits end the search only if the other class comes first, so that the model misclassifies the point. The
///   reference stops at every tie and counts the point by the predicted class.
#[derive(Debug, Clone, PartialEq)]
pub struct Square {
    pub(super) config: SquareConfig,
}

impl Square {
    /// The settings.
    pub fn config(&self) -> &SquareConfig {
        &self.config
    }

    /// Share of the image that the square of this query changes.
    pub(super) fn share(&self, query: usize) -> f32 {
        let query = match self.config.schedule {
            SquareSchedule::Published => query,
            SquareSchedule::Rescaled => (query as f64 / self.config.queries as f64 * 10_000.0) as usize,
        };
        let halvings =
            [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000].iter().filter(|&&at| query > at).count();
        self.config.first_share * 0.5_f32.powi(halvings as i32)
    }

    /// Side of the square of this query.
    pub(super) fn side(&self, query: usize, [_, height, width]: [usize; 3]) -> usize {
        let area = f64::from(self.share(query)) * (height * width) as f64;
        let side = area.sqrt().round() as usize;
        if self.config.threat.norm() == Norm::Linf {
            side.max(1)
        } else {
            // The two halves of a bump need room, and its middle a middle.
            side.max(3) | 1
        }
    }
}

impl Attack for Square {
    fn name(&self) -> String {
        "square".to_string()
    }

    fn threat_model(&self) -> ThreatModel {
        self.config.threat
    }

    fn uses_gradients(&self) -> bool {
        false
    }

    fn budget(&self, _classes: usize) -> u64 {
        self.config.queries as u64
    }

    fn search<'a>(&'a self, subject: &Subject<'a>, run: usize) -> Result<Box<dyn Search + 'a>, AttackError> {
        Ok(Box::new(SquareSearch::new(self, subject, subject.draws(self.config.seed, "square", run))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_halve_at_the_published_queries() {
        let config = SquareConfig::new(ThreatModel::new(Norm::Linf, 0.1).unwrap());
        let published = config.clone().build().unwrap();
        assert_eq!([0, 10, 11, 51, 4999].map(|q| published.share(q)), [0.8, 0.8, 0.4, 0.2, 0.006_25]);
        let rescaled = config.with_queries(1000).with_schedule(SquareSchedule::Rescaled).build().unwrap();
        assert_eq!([1, 2, 900].map(|q| rescaled.share(q)), [0.8, 0.4, 0.8 / 512.0]);
    }
}
