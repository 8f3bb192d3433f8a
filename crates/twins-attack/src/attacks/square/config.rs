use serde::{Deserialize, Serialize};

use super::attack::Square;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::norms::norm::check_norm;
use crate::norms::threat_model::ThreatModel;

/// The queries at which Square halves the fraction of the image that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SquareSchedule {
    /// At queries 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000, whatever the budget, as in AutoAttack.
    Published,
    /// At the same fractions of the budget, where the published numbers refer to a budget of 10 000 queries.
    Rescaled,
}

/// Settings of [`Square`].
///
/// | setting | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | | allowed perturbations | |
/// | `queries` | 5000 | number of proposals per sample | ≥ 1 |
/// | `first_fraction` | 0.8 | fraction of the image that the first squares change | (0, 1] |
/// | `schedule` | published | when the fraction is halved | |
/// | `seed` | 0 | seed of the random search | |
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
    pub(super) first_fraction: f32,
    pub(super) schedule: SquareSchedule,
    pub(super) seed: u64,
}

impl SquareConfig {
    /// The Square attack with the settings of AutoAttack.
    pub fn new(threat: ThreatModel) -> Self {
        Self { threat, queries: 5000, first_fraction: 0.8, schedule: SquareSchedule::Published, seed: 0 }
    }

    /// Sets the number of proposals.
    pub fn with_queries(mut self, queries: usize) -> Self {
        self.queries = queries;
        self
    }

    /// Sets the fraction of the image that the first squares change.
    pub fn with_first_fraction(mut self, first_fraction: f32) -> Self {
        self.first_fraction = first_fraction;
        self
    }

    /// Sets when the fraction is halved.
    pub fn with_schedule(mut self, schedule: SquareSchedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Sets the seed of the random search.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Checks the settings and builds the attack.
    ///
    /// # Errors
    /// [`SettingError::UnsupportedNorm`], or an error for a setting outside its range (see the table above).
    pub fn build(self) -> Result<Square, AttackError> {
        check_norm("Square", self.threat.norm(), Square::NORMS)?;
        if self.queries == 0 {
            return Err(SettingError::ZeroSteps { attack: "Square", what: "queries" }.into());
        }
        if !(self.first_fraction > 0.0 && self.first_fraction <= 1.0) {
            return Err(SettingError::OutOfRange {
                name: "the fraction of the image that the first squares change",
                value: self.first_fraction,
                range: "(0, 1]",
            }
            .into());
        }
        Ok(Square { config: self })
    }
}
