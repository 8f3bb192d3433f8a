use serde::{Deserialize, Serialize};

use super::attack::Apgd;
use crate::engine::criterion::Criterion;
use crate::engine::finding::Returned;
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::losses::loss::Loss;
use crate::norms::norm::check_norm;
use crate::norms::threat_model::ThreatModel;

/// How APGD distributes its steps over balls of different radii in the L1 norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum L1Phases {
    /// 30, 30 and 40 % of the steps in balls of radius three, two and one epsilon. Each phase starts from the best
    /// point of the previous one (Croce & Hein 2021, Sec. 4).
    Shrinking,
    /// All steps in the ball of radius epsilon.
    Fixed,
}

/// Settings of [`Apgd`].
///
/// | setting | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | | allowed perturbations | |
/// | `steps` | 100 | gradient steps; the step sizes depend on their number, so more steps do not always fool more samples | ≥ 1 |
/// | `loss` | cross-entropy | what is maximised | KL only without targets |
/// | `targets` | none | classes to aim at, one run per class | |
/// | `criterion` | misclassified | what counts as success | |
/// | `restarts` | 1 | number of runs, each from a different random start | ≥ 1 |
/// | `eot` | 1 | gradients averaged per step, for randomised models | ≥ 1 |
/// | `rho` | 0.75 | the step size is halved if at most this fraction of the steps raised the loss (not in L1) | [0, 1] |
/// | `returned` | first fooled | whether to stop at the first fooled point or to return the point with the largest loss | not last |
/// | `l1_phases` | shrinking | radii of the balls in L1 | |
/// | `seed` | 0 | seed of the random starts | |
///
/// ```
/// use twins_attack::{Apgd, ApgdConfig, Attack, Norm, ThreatModel};
/// let threat = ThreatModel::new(Norm::Linf, 8.0 / 255.0)?;
/// let apgd = ApgdConfig::targeted(threat, 9).build()?;
/// // One run for each of the nine most likely wrong classes.
/// assert_eq!((apgd.name(), apgd.runs(10)), ("apgd-t".to_string(), 9));
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApgdConfig {
    pub(super) threat: ThreatModel,
    pub(super) steps: usize,
    pub(super) loss: Loss,
    pub(super) targets: Targets,
    pub(super) criterion: Criterion,
    pub(super) restarts: usize,
    pub(super) eot: usize,
    pub(super) rho: f32,
    pub(super) returned: Returned,
    pub(super) l1_phases: L1Phases,
    pub(super) seed: u64,
}

impl ApgdConfig {
    /// APGD on the cross-entropy (APGD-CE) with the published settings.
    pub fn new(threat: ThreatModel) -> Self {
        Self {
            threat,
            steps: 100,
            loss: Loss::CrossEntropy,
            targets: Targets::None,
            criterion: Criterion::Misclassified,
            restarts: 1,
            eot: 1,
            rho: 0.75,
            returned: Returned::FirstFooled,
            l1_phases: L1Phases::Shrinking,
            seed: 0,
        }
    }

    /// Targeted APGD (APGD-T): the targeted DLR loss towards each of the `targets` most likely wrong classes.
    pub fn targeted(threat: ThreatModel, targets: usize) -> Self {
        Self::new(threat).with_loss(Loss::Dlr).with_targets(Targets::Top(targets))
    }

    /// Sets the number of steps.
    pub fn with_steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets the loss.
    pub fn with_loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// Sets the target classes.
    pub fn with_targets(mut self, targets: Targets) -> Self {
        self.targets = targets;
        self
    }

    /// Sets what counts as success.
    pub fn with_criterion(mut self, criterion: Criterion) -> Self {
        self.criterion = criterion;
        self
    }

    /// Sets how many times the attack is run, each time from a different random start.
    pub fn with_restarts(mut self, restarts: usize) -> Self {
        self.restarts = restarts;
        self
    }

    /// Sets how many gradients are averaged per step.
    pub fn with_eot(mut self, eot: usize) -> Self {
        self.eot = eot;
        self
    }

    /// Sets the fraction `rho`: the step size is halved if at most this fraction of the steps raised the loss.
    pub fn with_rho(mut self, rho: f32) -> Self {
        self.rho = rho;
        self
    }

    /// Sets which point is returned.
    pub fn with_returned(mut self, returned: Returned) -> Self {
        self.returned = returned;
        self
    }

    /// Sets the radii of the balls in L1.
    pub fn with_l1_phases(mut self, l1_phases: L1Phases) -> Self {
        self.l1_phases = l1_phases;
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
    pub fn build(self) -> Result<Apgd, AttackError> {
        check_norm("APGD", self.threat.norm(), Apgd::NORMS)?;
        for (count, what) in
            [(self.steps, "steps"), (self.restarts, "restarts"), (self.eot, "EOT repetitions")]
        {
            if count == 0 {
                return Err(SettingError::ZeroSteps { attack: "APGD", what }.into());
            }
        }
        self.targets.check("APGD", self.threat.norm())?;
        if !(0.0..=1.0).contains(&self.rho) {
            return Err(SettingError::OutOfRange { name: "rho", value: self.rho, range: "[0, 1]" }.into());
        }
        if self.returned == Returned::Last {
            return Err(SettingError::LastIterate { attack: "APGD" }.into());
        }
        if self.loss == Loss::Kl && self.targets != Targets::None {
            return Err(SettingError::TargetedKl.into());
        }
        Ok(Apgd { config: self })
    }
}
