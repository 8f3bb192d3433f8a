use serde::{Deserialize, Serialize};

use super::attack::Fab;
use crate::attacks::nearest::Depth;
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::norms::norm::check_norm;
use crate::norms::threat_model::ThreatModel;

/// Which misclassified points FAB may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FabCandidates {
    /// Only the points after a step, as in the reference implementation.
    AfterStep,
    /// Also the points that are still misclassified after they were pulled back towards the clean image. They are
    /// nearer, and their logits are computed anyway.
    AfterPullBack,
}

/// Settings of [`Fab`].
///
/// | setting | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | | allowed perturbations; only points within them count as success | |
/// | `steps` | 100 | number of projections onto the boundary | ≥ 1 |
/// | `targets` | none | classes to aim at, one run per class | |
/// | `restarts` | 1 | number of runs; all but the first begin at a random point | ≥ 1 |
/// | `alpha_max` | 0.1 | largest weight of the step from the clean image | [0, 1] |
/// | `eta` | 1.05 | overshoot beyond the linearised boundary | ≥ 1 |
/// | `beta` | 0.9 | factor on the offset of a misclassified point when it is pulled back towards the clean image | (0, 1) |
/// | `candidates` | after pull-back | which misclassified points may be returned | |
/// | `depth` | within epsilon | when to stop | |
/// | `seed` | 0 | seed of the random starts | |
///
/// ```
/// use twins_attack::{FabConfig, Norm, ThreatModel};
/// let threat = ThreatModel::new(Norm::L2, 0.5)?;
/// let fab = FabConfig::targeted(threat, 9).build()?;
/// assert!(FabConfig::new(threat).with_eta(0.5).build().is_err());
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FabConfig {
    pub(super) threat: ThreatModel,
    pub(super) steps: usize,
    pub(super) targets: Targets,
    pub(super) restarts: usize,
    pub(super) alpha_max: f32,
    pub(super) eta: f32,
    pub(super) beta: f32,
    pub(super) candidates: FabCandidates,
    pub(super) depth: Depth,
    pub(super) seed: u64,
}

impl FabConfig {
    /// Untargeted FAB with the published settings.
    ///
    /// Each step needs a gradient for every wrong class: `K - 1` passes for `K` classes. [`FabConfig::targeted`] needs
    /// one gradient per step and target.
    pub fn new(threat: ThreatModel) -> Self {
        Self {
            threat,
            steps: 100,
            targets: Targets::None,
            restarts: 1,
            alpha_max: 0.1,
            eta: 1.05,
            beta: 0.9,
            candidates: FabCandidates::AfterPullBack,
            depth: Depth::WithinEpsilon,
            seed: 0,
        }
    }

    /// Targeted FAB (FAB-T), towards each of the `targets` most likely wrong classes.
    pub fn targeted(threat: ThreatModel, targets: usize) -> Self {
        Self::new(threat).with_targets(Targets::Top(targets))
    }

    /// Sets the number of steps.
    pub fn with_steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the target classes.
    pub fn with_targets(mut self, targets: Targets) -> Self {
        self.targets = targets;
        self
    }

    /// Sets how many times the attack is run. The first run starts from the clean image, the others from a random point
    /// half epsilon away.
    pub fn with_restarts(mut self, restarts: usize) -> Self {
        self.restarts = restarts;
        self
    }

    /// Sets the largest weight of the step from the clean image.
    pub fn with_alpha_max(mut self, alpha_max: f32) -> Self {
        self.alpha_max = alpha_max;
        self
    }

    /// Sets the overshoot beyond the linearised boundary.
    pub fn with_eta(mut self, eta: f32) -> Self {
        self.eta = eta;
        self
    }

    /// Sets the factor on the offset of a misclassified point when it is pulled back towards the clean image.
    pub fn with_beta(mut self, beta: f32) -> Self {
        self.beta = beta;
        self
    }

    /// Sets which misclassified points may be returned.
    pub fn with_candidates(mut self, candidates: FabCandidates) -> Self {
        self.candidates = candidates;
        self
    }

    /// Sets when to stop.
    pub fn with_depth(mut self, depth: Depth) -> Self {
        self.depth = depth;
        self
    }

    /// Sets the seed of the random starts.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Checks the settings and builds the attack.
    ///
    /// # Errors
    /// [`SettingError::UnsupportedNorm`], or an error for a setting outside its range (see the table above).
    pub fn build(self) -> Result<Fab, AttackError> {
        check_norm("FAB", self.threat.norm(), Fab::NORMS)?;
        for (count, what) in [(self.steps, "steps"), (self.restarts, "restarts")] {
            if count == 0 {
                return Err(SettingError::ZeroSteps { attack: "FAB", what }.into());
            }
        }
        self.targets.check("FAB", self.threat.norm())?;
        let out_of_range = |name, value, range| Err(SettingError::OutOfRange { name, value, range }.into());
        if !(0.0..=1.0).contains(&self.alpha_max) {
            return out_of_range("alpha_max", self.alpha_max, "[0, 1]");
        }
        if !(self.eta.is_finite() && self.eta >= 1.0) {
            return out_of_range("eta", self.eta, "[1, ∞)");
        }
        if !(self.beta > 0.0 && self.beta < 1.0) {
            return out_of_range("beta", self.beta, "(0, 1)");
        }
        Ok(Fab { config: self })
    }
}
