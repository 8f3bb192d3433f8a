use serde::{Deserialize, Serialize};

use super::attack::Pgd;
use crate::engine::criterion::Criterion;
use crate::engine::finding::Returned;
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::losses::loss::Loss;
use crate::norms::norm::check_norm;
use crate::norms::threat_model::ThreatModel;

/// Where a gradient attack starts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At the clean image.
    Clean,
    /// At a point drawn uniformly from the ball.
    Uniform,
    /// At the clean image plus normal noise with this standard deviation, projected into the threat model (TRADES uses
    /// 0.001).
    Gaussian(f32),
}

/// Settings of [`Pgd`].
///
/// | setting | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | | allowed perturbations | |
/// | `steps` | | gradient steps | ≥ 1 |
/// | `step_size` | | length of a step, on the [0, 1] scale | ≥ 0, finite |
/// | `start` | clean | starting point | not clean with the KL loss |
/// | `loss` | cross-entropy | what is maximised | KL only without targets |
/// | `targets` | none | classes to aim at, one run per class | |
/// | `criterion` | misclassified | what counts as success | |
/// | `restarts` | 1 | number of runs, each from a different start | ≥ 1 |
/// | `returned` | last | which iterate is returned | |
/// | `momentum` | 0 | decay of the velocity in MI-FGSM; 0 means no momentum | [0, 1] |
/// | `eot` | 1 | gradients averaged per step, for randomised models | ≥ 1 |
/// | `l1_fraction` | 0.01 | fraction of the values that an L1 step changes | (0, 1] |
/// | `seed` | 0 | seed of the random starts | |
///
/// ```
/// use twins_attack::{Norm, PgdConfig, Start, ThreatModel};
/// // The adversary of adversarial training on CIFAR: 10 steps of 2/255.
/// let threat = ThreatModel::new(Norm::Linf, 8.0 / 255.0)?;
/// let pgd = PgdConfig::new(threat, 10, 2.0 / 255.0).with_start(Start::Uniform).build()?;
/// assert!(PgdConfig::new(threat, 0, 2.0 / 255.0).build().is_err());
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PgdConfig {
    pub(super) threat: ThreatModel,
    pub(super) steps: usize,
    pub(super) step_size: f32,
    pub(super) start: Start,
    pub(super) loss: Loss,
    pub(super) targets: Targets,
    pub(super) criterion: Criterion,
    pub(super) restarts: usize,
    pub(super) returned: Returned,
    pub(super) momentum: f32,
    pub(super) eot: usize,
    pub(super) l1_fraction: f32,
    pub(super) seed: u64,
}

impl PgdConfig {
    /// The default number of steps of the attacks that [`RegisteredAttack`](crate::RegisteredAttack) calls `pgd` and
    /// `mi-fgsm`.
    pub const DEFAULT_STEPS: usize = 20;

    /// The default step size of the attack that [`RegisteredAttack`](crate::RegisteredAttack) calls `pgd`: a quarter of
    /// epsilon.
    pub fn default_step_size(epsilon: f32) -> f32 {
        epsilon / 4.0
    }

    /// Untargeted PGD on the cross-entropy from the clean image.
    pub fn new(threat: ThreatModel, steps: usize, step_size: f32) -> Self {
        Self {
            threat,
            steps,
            step_size,
            start: Start::Clean,
            loss: Loss::CrossEntropy,
            targets: Targets::None,
            criterion: Criterion::Misclassified,
            restarts: 1,
            returned: Returned::Last,
            momentum: 0.0,
            eot: 1,
            l1_fraction: 0.01,
            seed: 0,
        }
    }

    /// The fast gradient sign method (Goodfellow et al. 2015, arXiv 1412.6572): one step of length epsilon.
    pub fn fgsm(threat: ThreatModel) -> Self {
        Self::new(threat, 1, threat.epsilon())
    }

    /// The momentum iterative method (Dong et al. 2018, arXiv 1710.06081, algorithm 1) with momentum 1. The step size
    /// is epsilon divided by the number of steps.
    pub fn mi_fgsm(threat: ThreatModel, steps: usize) -> Self {
        Self::new(threat, steps, threat.epsilon() / steps.max(1) as f32).with_momentum(1.0)
    }

    /// Sets the starting point.
    pub fn with_start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Sets the loss.
    pub fn with_loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// Sets the classes to aim at.
    pub fn with_targets(mut self, targets: Targets) -> Self {
        self.targets = targets;
        self
    }

    /// Sets what counts as success.
    pub fn with_criterion(mut self, criterion: Criterion) -> Self {
        self.criterion = criterion;
        self
    }

    /// Sets how many times the attack is run, each time from a different start. With [`Start::Clean`], the first run
    /// starts at the clean image and the others at points drawn uniformly from the ball. A sample that is fooled is not
    /// attacked again, unless the point with the largest loss is to be returned ([`Returned::BestLoss`]).
    pub fn with_restarts(mut self, restarts: usize) -> Self {
        self.restarts = restarts;
        self
    }

    /// Sets which iterate is returned.
    pub fn with_returned(mut self, returned: Returned) -> Self {
        self.returned = returned;
        self
    }

    /// Sets the decay `μ` of the velocity `v ← μ v + g / ‖g‖₁`, whose direction each step follows. With 0, each step
    /// follows the gradient.
    pub fn with_momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }

    /// Sets how many gradients are averaged per step.
    pub fn with_eot(mut self, eot: usize) -> Self {
        self.eot = eot;
        self
    }

    /// Sets the fraction of the values that an L1 step changes.
    pub fn with_l1_fraction(mut self, l1_fraction: f32) -> Self {
        self.l1_fraction = l1_fraction;
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
    /// [`SettingError::UnsupportedNorm`], or an error for a setting outside its range (see the table above), for the KL
    /// loss with targets, or for the KL loss from the clean image, where its gradient is zero.
    pub fn build(self) -> Result<Pgd, AttackError> {
        check_norm("PGD", self.threat.norm(), Pgd::NORMS)?;
        for (count, what) in
            [(self.steps, "steps"), (self.restarts, "restarts"), (self.eot, "EOT repetitions")]
        {
            if count == 0 {
                return Err(SettingError::ZeroSteps { attack: "PGD", what }.into());
            }
        }
        self.targets.check("PGD", self.threat.norm())?;
        if !self.step_size.is_finite() || self.step_size < 0.0 {
            return Err(SettingError::StepSize { step_size: self.step_size }.into());
        }
        let out_of_range = |name, value, range| Err(SettingError::OutOfRange { name, value, range }.into());
        if !(0.0..=1.0).contains(&self.momentum) {
            return out_of_range("momentum", self.momentum, "[0, 1]");
        }
        if !(self.l1_fraction > 0.0 && self.l1_fraction <= 1.0) {
            return out_of_range(
                "the fraction of values that an L1 step changes",
                self.l1_fraction,
                "(0, 1]",
            );
        }
        if let Start::Gaussian(deviation) = self.start
            && !(deviation.is_finite() && deviation >= 0.0)
        {
            return out_of_range("the standard deviation of the start", deviation, "[0, ∞)");
        }
        if self.loss == Loss::Kl && self.targets != Targets::None {
            return Err(SettingError::TargetedKl.into());
        }
        if self.loss == Loss::Kl && matches!(self.start, Start::Clean | Start::Gaussian(0.0)) {
            return Err(AttackError::Setting(SettingError::KlFromClean));
        }
        Ok(Pgd { config: self })
    }
}
