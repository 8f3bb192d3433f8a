use serde::{Deserialize, Serialize};

use super::attack::Fmn;
use crate::attacks::nearest::Depth;
use crate::engine::criterion::Criterion;
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::norms::norm::check_norm;
use crate::norms::threat_model::ThreatModel;

/// Settings of [`Fmn`].
///
/// | setting | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | | the norm, and the largest distance that counts | |
/// | `steps` | 100 | gradient steps | ≥ 1 |
/// | `step_size` | 1 | L2 length of the first step; the last is a hundredth of it | > 0 |
/// | `gamma` | 0.05 | by which fraction the radius first grows or shrinks; it falls to 0.001 | [0.001, 1) |
/// | `overshoot` | 1 | factor on the estimated distance of the boundary; 1 is the published rule | ≥ 1 |
/// | `targets` | none | classes to aim at, one run for each | |
/// | `criterion` | misclassified | what counts as success | |
/// | `depth` | nearest | when to stop | |
///
/// `overshoot` matters in L2: see [`Fmn`].
///
/// ```
/// use twins_attack::{FmnConfig, Norm, ThreatModel};
/// let sparse = FmnConfig::new(ThreatModel::new(Norm::L0, 784.0)?).build()?;
/// let short = FmnConfig::new(ThreatModel::new(Norm::L2, 100.0)?).with_overshoot(1.05).build()?;
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FmnConfig {
    pub(super) threat: ThreatModel,
    pub(super) steps: usize,
    pub(super) step_size: f32,
    pub(super) gamma: f32,
    pub(super) overshoot: f32,
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

    /// Sets how far behind the linearised boundary the first adversarial example is looked for: with 1.05, 5 % of the
    /// estimated distance. Only until it is found, and not in L0.
    pub fn with_overshoot(mut self, overshoot: f32) -> Self {
        self.overshoot = overshoot;
        self
    }

    /// Sets the target classes.
    pub fn with_targets(mut self, targets: Targets) -> Self {
        self.targets = targets;
        self
    }

    /// Sets what counts as success. The published targeted form is [`Criterion::ClassifiedAsTarget`].
    pub fn with_criterion(mut self, criterion: Criterion) -> Self {
        self.criterion = criterion;
        self
    }

    /// Sets when to stop.
    pub fn with_depth(mut self, depth: Depth) -> Self {
        self.depth = depth;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`SettingError::UnsupportedNorm`]; a setting outside its range, see the table above.
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
