use serde::{Deserialize, Serialize};

use super::attack::Ddn;
use crate::attacks::nearest::Depth;
use crate::engine::criterion::Criterion;
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::norms::norm::check_norm;
use crate::norms::threat_model::ThreatModel;

/// Settings of [`Ddn`].
///
/// | setting | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | | the norm, which must be L2, and the largest distance that counts as success | |
/// | `steps` | 100 | points that are looked at, with a gradient step between each and the next; the first is the clean image or the starting point, so 1 makes no step | ≥ 1 |
/// | `gamma` | 0.05 | fraction by which the radius grows or shrinks in a step | (0, 1) |
/// | `radius` | 1 | initial radius | > 0 |
/// | `levels` | none | number of levels in [0, 1] to which the values of a point are rounded, such as 256 | ≥ 2 |
/// | `targets` | none | classes to aim at, one run per class | |
/// | `criterion` | misclassified | what counts as success | |
/// | `depth` | nearest | when to stop | |
/// | `seed` | 0 | seed of the directions that replace zero gradients | |
///
/// The reference implementation rounds to 256 levels by default. Here, points are not rounded unless `levels` is set.
/// The threat model allows every image in [0, 1], and the other attacks do not round either, so distances can be
/// compared. Set `levels` if the adversarial examples are to be stored as 8-bit images.
///
/// ```
/// use twins_attack::{DdnConfig, Norm, ThreatModel};
/// let ddn = DdnConfig::new(ThreatModel::new(Norm::L2, 100.0)?).with_steps(300).with_levels(256).build()?;
/// let error = DdnConfig::new(ThreatModel::new(Norm::Linf, 0.1)?).build().unwrap_err();
/// assert_eq!(error.to_string(), "DDN does not support Linf: it supports l2");
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DdnConfig {
    pub(super) threat: ThreatModel,
    pub(super) steps: usize,
    pub(super) gamma: f32,
    pub(super) radius: f32,
    pub(super) levels: Option<usize>,
    pub(super) targets: Targets,
    pub(super) criterion: Criterion,
    pub(super) depth: Depth,
    pub(super) seed: u64,
}

impl DdnConfig {
    /// Untargeted DDN with the published settings, without rounding.
    pub fn new(threat: ThreatModel) -> Self {
        Self {
            threat,
            steps: 100,
            gamma: 0.05,
            radius: 1.0,
            levels: None,
            targets: Targets::None,
            criterion: Criterion::Misclassified,
            depth: Depth::Nearest,
            seed: 0,
        }
    }

    /// Sets the number of steps.
    pub fn with_steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the fraction by which the radius grows or shrinks in a step.
    pub fn with_gamma(mut self, gamma: f32) -> Self {
        self.gamma = gamma;
        self
    }

    /// Sets the initial radius.
    pub fn with_radius(mut self, radius: f32) -> Self {
        self.radius = radius;
        self
    }

    /// Rounds the values of every point, also of a given starting point, to this many levels. 256 gives the values of an
    /// 8-bit image.
    pub fn with_levels(mut self, levels: usize) -> Self {
        self.levels = Some(levels);
        self
    }

    /// Sets the target classes.
    pub fn with_targets(mut self, targets: Targets) -> Self {
        self.targets = targets;
        self
    }

    /// Sets what counts as success. The published targeted form uses [`Criterion::ClassifiedAsTarget`].
    pub fn with_criterion(mut self, criterion: Criterion) -> Self {
        self.criterion = criterion;
        self
    }

    /// Sets when to stop.
    pub fn with_depth(mut self, depth: Depth) -> Self {
        self.depth = depth;
        self
    }

    /// Sets the seed of the directions that replace zero gradients.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Checks the settings and builds the attack.
    ///
    /// # Errors
    /// [`SettingError::UnsupportedNorm`], or an error for a setting outside its range (see the table above).
    pub fn build(self) -> Result<Ddn, AttackError> {
        check_norm("DDN", self.threat.norm(), Ddn::NORMS)?;
        if self.steps == 0 {
            return Err(SettingError::ZeroSteps { attack: "DDN", what: "steps" }.into());
        }
        self.targets.check("DDN", self.threat.norm())?;
        let out_of_range = |name, value, range| Err(SettingError::OutOfRange { name, value, range }.into());
        if !(self.gamma > 0.0 && self.gamma < 1.0) {
            return out_of_range("gamma", self.gamma, "(0, 1)");
        }
        if !(self.radius.is_finite() && self.radius > 0.0) {
            return out_of_range("radius", self.radius, "(0, ∞)");
        }
        if let Some(levels) = self.levels.filter(|levels| *levels < 2) {
            return out_of_range("levels", levels as f32, "[2, ∞)");
        }
        Ok(Ddn { config: self })
    }
}
