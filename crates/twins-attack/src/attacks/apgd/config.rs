use serde::{Deserialize, Serialize};

use super::search::ApgdSearch;
use crate::engine::attack::Attack;
use crate::engine::goal::{Returned, RunSelection};
use crate::engine::search::{Search, Subject};
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::losses::loss::Loss;
use crate::norms::norm::{Norm, check_norm};
use crate::norms::threat_model::ThreatModel;

/// How APGD spends its steps in the L1 norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum L1Phases {
    /// 30, 30 and 40 % of the steps in balls of three, two and one epsilon, each from the best point of the one
    /// before (Croce & Hein 2021, Sec. 4).
    Shrinking,
    /// All steps in the ball of epsilon.
    Fixed,
}

/// Settings of [`Apgd`].
///
/// | setting | default | purpose | range |
/// |---|---|---|---|
/// | `threat` | | allowed perturbations | |
/// | `steps` | 100 | gradient steps; step sizes depend on their number, so that more of them need not fool more samples | ≥ 1 |
/// | `loss` | cross-entropy | what is maximised | not KL |
/// | `targets` | none | one run per target class | |
/// | `eot` | 1 | gradients averaged per step, for randomised models | ≥ 1 |
/// | `rho` | 0.75 | share of rising steps below which the step size is halved | [0, 1] |
/// | `returned` | first fooled | leave when fooled, or return the point of largest loss | not last |
/// | `l1_phases` | shrinking | radii used in L1 | |
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
    pub(super) eot: usize,
    pub(super) rho: f32,
    pub(super) returned: Returned,
    pub(super) l1_phases: L1Phases,
    pub(super) seed: u64,
}

impl ApgdConfig {
    /// APGD-CE with the published settings.
    pub fn new(threat: ThreatModel) -> Self {
        Self {
            threat,
            steps: 100,
            loss: Loss::CrossEntropy,
            targets: Targets::None,
            eot: 1,
            rho: 0.75,
            returned: Returned::FirstFooled,
            l1_phases: L1Phases::Shrinking,
            seed: 0,
        }
    }

    /// APGD-T: the targeted DLR loss towards each of the `targets` most likely wrong classes.
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

    /// Sets how many gradients are averaged per step.
    pub fn with_eot(mut self, eot: usize) -> Self {
        self.eot = eot;
        self
    }

    /// Sets the share of rising steps below which the step size is halved.
    pub fn with_rho(mut self, rho: f32) -> Self {
        self.rho = rho;
        self
    }

    /// Sets which point is returned.
    pub fn with_returned(mut self, returned: Returned) -> Self {
        self.returned = returned;
        self
    }

    /// Sets the radii used in L1.
    pub fn with_l1_phases(mut self, l1_phases: L1Phases) -> Self {
        self.l1_phases = l1_phases;
        self
    }

    /// Sets the seed of the random starts.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`AttackError::UnsupportedNorm`]; a setting outside its range, see the table above.
    pub fn build(self) -> Result<Apgd, AttackError> {
        check_norm("APGD", self.threat.norm(), &[Norm::Linf, Norm::L2, Norm::L1])?;
        for (count, what) in [(self.steps, "steps"), (self.eot, "EOT repetitions")] {
            if count == 0 {
                return Err(AttackError::ZeroSteps { attack: "APGD", what });
            }
        }
        self.targets.check("APGD")?;
        if !(0.0..=1.0).contains(&self.rho) {
            return Err(AttackError::OutOfRange { name: "rho", value: self.rho, range: "[0, 1]" });
        }
        if self.returned == Returned::Last {
            return Err(AttackError::LastIterate { attack: "APGD" });
        }
        if self.loss == Loss::Kl && self.targets != Targets::None {
            return Err(AttackError::TargetedKl);
        }
        Ok(Apgd { config: self })
    }
}

/// Auto-PGD (Croce & Hein 2020, arXiv 2003.01690, algorithm 1; in L1 Croce & Hein 2021, arXiv 2103.01208,
/// algorithm 2).
///
/// With step size `η`, starting at `2 ε`, and momentum:
/// `z = Π(x + η · direction(∇ loss))`, `x_new = Π(x + 0.75 (z - x) + 0.25 (x - x_prev))`. At checkpoints that come ever
/// closer, the step size is halved and the search goes on from the best point, if the loss rose in at most 75 % of the
/// steps since the last checkpoint, or if neither step size nor best loss have changed since.
///
/// Two traits of the reference implementation are kept, so that trajectories agree: the first step of all counts as
/// rising if its loss is positive, and `x_prev` survives a return to the best point. Unlike there, a point of the first
/// L1 phases that is misclassified and happens to lie within epsilon counts.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{ApgdConfig, Attack, Norm, Samples, ThreatModel};
/// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
/// let images = Tensor::from_floats([[[[0.6, 0.5]]], [[[0.9, 0.1]]]], &Device::flex());
/// let samples = Samples::new(images, vec![0, 0])?;
/// let output = ApgdConfig::new(ThreatModel::new(Norm::Linf, 0.1)?).build()?.run(&victim, &samples)?;
/// assert_eq!(output.fooled, [true, false]);
/// // The first sample left the batch early: 1 forward on the clean image and up to 101 in the attack.
/// assert!(output.forwards < 2 + 2 * 101);
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Apgd {
    pub(super) config: ApgdConfig,
}

impl Apgd {
    /// The settings.
    pub fn config(&self) -> &ApgdConfig {
        &self.config
    }

    /// Radius and number of steps of each phase.
    pub(super) fn phases(&self) -> Vec<(ThreatModel, usize)> {
        let config = &self.config;
        if config.threat.norm() != Norm::L1 || config.l1_phases == L1Phases::Fixed {
            return vec![(config.threat, config.steps)];
        }
        // Ceiling of 30 %, as published; of very few steps the last one must be left for the allowed ball.
        let first = (3 * config.steps).div_ceil(10).min(config.steps - 1);
        let second = first.min(config.steps - 1 - first);
        let phases = [(3.0, first), (2.0, second), (1.0, config.steps - first - second)].into_iter();
        phases
            .filter(|(_, steps)| *steps > 0)
            .map(|(factor, steps)| (config.threat.scaled(factor), steps))
            .collect()
    }
}

impl Attack for Apgd {
    fn name(&self) -> String {
        let loss = match self.config.loss {
            Loss::CrossEntropy => "ce",
            Loss::Margin => "margin",
            Loss::Dlr => "dlr",
            Loss::Kl => "kl",
        };
        match (self.config.targets, self.config.loss) {
            (Targets::None, _) => format!("apgd-{loss}"),
            (_, Loss::Dlr) => "apgd-t".to_string(),
            _ => format!("apgd-t-{loss}"),
        }
    }

    fn threat_model(&self) -> ThreatModel {
        self.config.threat
    }

    fn runs(&self, classes: usize) -> usize {
        self.config.targets.runs(classes)
    }

    fn run_selection(&self) -> RunSelection {
        self.config.returned.run_selection()
    }

    fn repeats(&self) -> usize {
        self.config.eot
    }

    fn budget(&self, classes: usize) -> u64 {
        (self.runs(classes) * (self.config.steps * self.config.eot + self.phases().len())) as u64
    }

    fn search<'a>(&'a self, subject: &Subject<'a>, run: usize) -> Result<Box<dyn Search + 'a>, AttackError> {
        let target = self.config.targets.target(subject, run)?;
        self.config.loss.check(subject.clean.len(), target.is_some())?;
        let draws = subject.draws(self.config.seed, &self.name(), run);
        Ok(Box::new(ApgdSearch::new(self, subject, target, draws)))
    }
}
