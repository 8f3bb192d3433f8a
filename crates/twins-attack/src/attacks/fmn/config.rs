use serde::{Deserialize, Serialize};

use super::attack::Fmn;
use crate::attacks::nearest::Depth;
use crate::engine::criterion::Criterion;
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::norms::norm::check_norm;
use crate::norms::threat_model::ThreatModel;

/// How [`Fmn`] projects a point in L2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum L2Projection {
    /// Into the ball, as in the paper and in the authors' code. A point inside the ball stays where it is.
    Ball,
    /// Onto the surface of the ball, as in `adv-lib`. The distance of a point always equals the radius before the point
    /// is clipped to the box.
    Sphere,
}

/// Settings of [`Fmn`].
///
/// | setting | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | | the norm, and the largest distance that counts as success | |
/// | `steps` | 100 | points that are looked at, with a gradient step between each and the next; the first is the clean image or the starting point, so 1 makes no step | ≥ 1 |
/// | `step_size` | 1 | L2 length of the first step; the last step is a hundredth of it | > 0 |
/// | `gamma` | 0.05 | initial fraction by which the radius grows or shrinks in a step; it falls to 0.001 | [0.001, 1) |
/// | `overshoot` | 1 | factor on the estimated distance to the boundary; 1 is the published rule | ≥ 1 |
/// | `l2_projection` | ball | how points are projected in L2; ball is the published rule | |
/// | `targets` | none | classes to aim at, one run per class | |
/// | `criterion` | misclassified | what counts as success | |
/// | `depth` | nearest | when to stop | |
///
/// `overshoot` and `l2_projection` matter in L2: see [`Fmn`].
///
/// ```
/// use twins_attack::{FmnConfig, L2Projection, Norm, ThreatModel};
/// let sparse = FmnConfig::new(ThreatModel::new(Norm::L0, 784.0)?).build()?;
/// let short = FmnConfig::new(ThreatModel::new(Norm::L2, 100.0)?).with_overshoot(1.05);
/// let short = short.with_l2_projection(L2Projection::Sphere).build()?;
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FmnConfig {
    pub(super) threat: ThreatModel,
    pub(super) steps: usize,
    pub(super) step_size: f32,
    pub(super) gamma: f32,
    pub(super) overshoot: f32,
    pub(super) l2_projection: L2Projection,
    pub(super) targets: Targets,
    pub(super) criterion: Criterion,
    pub(super) depth: Depth,
}

/// Gamma of the last step.
pub(super) const LAST_GAMMA: f32 = 0.001;

impl FmnConfig {
    /// Untargeted FMN with the published settings.
    pub fn new(threat: ThreatModel) -> Self {
        Self {
            threat,
            steps: 100,
            step_size: 1.0,
            gamma: 0.05,
            overshoot: 1.0,
            l2_projection: L2Projection::Ball,
            targets: Targets::None,
            criterion: Criterion::Misclassified,
            depth: Depth::Nearest,
        }
    }

    /// Sets the number of steps.
    pub fn with_steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the length of the first step.
    pub fn with_step_size(mut self, step_size: f32) -> Self {
        self.step_size = step_size;
        self
    }

    /// Sets the fraction by which the radius grows or shrinks in the first step.
    pub fn with_gamma(mut self, gamma: f32) -> Self {
        self.gamma = gamma;
        self
    }

    /// Sets how far beyond the linearised boundary the attack searches for the first adversarial example, as a factor
    /// on the estimated distance. With 1.05, it searches 5 % beyond the boundary. The factor applies only until an
    /// adversarial example is found, and not in L0.
    pub fn with_overshoot(mut self, overshoot: f32) -> Self {
        self.overshoot = overshoot;
        self
    }

    /// Sets how points are projected in L2. The other norms ignore it.
    pub fn with_l2_projection(mut self, l2_projection: L2Projection) -> Self {
        self.l2_projection = l2_projection;
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

    /// Checks the settings and builds the attack.
    ///
    /// # Errors
    /// [`SettingError::UnsupportedNorm`], or an error for a setting outside its range (see the table above).
    pub fn build(self) -> Result<Fmn, AttackError> {
        check_norm("FMN", self.threat.norm(), Fmn::NORMS)?;
        if self.steps == 0 {
            return Err(SettingError::ZeroSteps { attack: "FMN", what: "steps" }.into());
        }
        self.targets.check("FMN", self.threat.norm())?;
        let out_of_range = |name, value, range| Err(SettingError::OutOfRange { name, value, range }.into());
        if !(self.step_size.is_finite() && self.step_size > 0.0) {
            return out_of_range("step size", self.step_size, "(0, ∞)");
        }
        if !(LAST_GAMMA..1.0).contains(&self.gamma) {
            return out_of_range("gamma", self.gamma, "[0.001, 1)");
        }
        if !(self.overshoot.is_finite() && self.overshoot >= 1.0) {
            return out_of_range("overshoot", self.overshoot, "[1, ∞)");
        }
        Ok(Fmn { config: self })
    }
}
