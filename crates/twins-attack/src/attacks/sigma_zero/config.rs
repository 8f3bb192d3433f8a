use serde::{Deserialize, Serialize};

use super::attack::SigmaZero;
use crate::attacks::nearest::Depth;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::norms::norm::check_norm;
use crate::norms::threat_model::ThreatModel;

/// Settings of [`SigmaZero`].
///
/// | setting | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | | the norm, which must be L0, and the largest number of changed values that counts as success | |
/// | `steps` | 100 | points that are looked at, with a gradient step between each and the next; the first is the clean image or the starting point, so 1 makes no step; more find sparser perturbations | ≥ 1 |
/// | `step_size` | 1 | initial step size; the last is a tenth of it | > 0 |
/// | `sigma` | 0.001 | smoothness of the differentiable L0 norm | ≥ 1e-18 |
/// | `threshold` | 0.3 | initial threshold; changes below it are reverted | [0, 1] |
/// | `threshold_step` | 0.01 | fraction of the step size by which the threshold changes in a step | [0, 1] |
/// | `depth` | nearest | when to stop | |
///
/// The attack is untargeted; [`Fmn`](crate::Fmn) has a targeted form in L0. The paper makes 1 000 steps.
///
/// ```
/// use twins_attack::{Norm, SigmaZeroConfig, ThreatModel};
/// let attack = SigmaZeroConfig::new(ThreatModel::new(Norm::L0, 24.0)?).with_steps(1000).build()?;
/// let error = SigmaZeroConfig::new(ThreatModel::new(Norm::L1, 24.0)?).build().unwrap_err();
/// assert_eq!(error.to_string(), "σ-zero does not support L1: it supports l0");
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SigmaZeroConfig {
    pub(super) threat: ThreatModel,
    pub(super) steps: usize,
    pub(super) step_size: f32,
    pub(super) sigma: f32,
    pub(super) threshold: f32,
    pub(super) threshold_step: f32,
    pub(super) depth: Depth,
}

impl SigmaZeroConfig {
    /// σ-zero with the settings of the authors' code.
    pub fn new(threat: ThreatModel) -> Self {
        Self {
            threat,
            steps: 100,
            step_size: 1.0,
            sigma: 1e-3,
            threshold: 0.3,
            threshold_step: 0.01,
            depth: Depth::Nearest,
        }
    }

    /// Sets the number of steps.
    pub fn with_steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the initial step size.
    pub fn with_step_size(mut self, step_size: f32) -> Self {
        self.step_size = step_size;
        self
    }

    /// Sets the smoothness of the differentiable L0 norm.
    pub fn with_sigma(mut self, sigma: f32) -> Self {
        self.sigma = sigma;
        self
    }

    /// Sets the initial threshold, below which changes are reverted.
    pub fn with_threshold(mut self, threshold: f32) -> Self {
        self.threshold = threshold;
        self
    }

    /// Sets the fraction of the step size by which the threshold changes in a step.
    pub fn with_threshold_step(mut self, threshold_step: f32) -> Self {
        self.threshold_step = threshold_step;
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
    pub fn build(self) -> Result<SigmaZero, AttackError> {
        check_norm("σ-zero", self.threat.norm(), SigmaZero::NORMS)?;
        if self.steps == 0 {
            return Err(SettingError::ZeroSteps { attack: "σ-zero", what: "steps" }.into());
        }
        let out_of_range = |name, value, range| Err(SettingError::OutOfRange { name, value, range }.into());
        if !(self.step_size.is_finite() && self.step_size > 0.0) {
            return out_of_range("step size", self.step_size, "(0, ∞)");
        }
        // The gradient divides by the square of sigma, which would underflow.
        if !(self.sigma.is_finite() && self.sigma >= 1e-18) {
            return out_of_range("sigma", self.sigma, "[1e-18, ∞)");
        }
        for (name, value) in [("threshold", self.threshold), ("threshold_step", self.threshold_step)] {
            if !(0.0..=1.0).contains(&value) {
                return out_of_range(name, value, "[0, 1]");
            }
        }
        Ok(SigmaZero { config: self })
    }
}
