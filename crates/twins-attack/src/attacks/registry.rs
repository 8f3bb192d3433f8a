//! Attacks by name, for command lines, configuration files and tests.

use std::fmt;

use super::{apgd, ddn, fab, fmn, pgd, sigma_zero, square};
use crate::engine::attack::Attack;
use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::norms::norm::Norm;
use crate::norms::threat_model::ThreatModel;

/// All entries. A new attack adds its entries here.
const ALL: &[&[RegisteredAttack]] = &[
    pgd::REGISTERED,
    apgd::REGISTERED,
    fab::REGISTERED,
    square::REGISTERED,
    ddn::REGISTERED,
    fmn::REGISTERED,
    sigma_zero::REGISTERED,
];

/// Settings from which an attack can be built by its name. A setting that is not given has the default of the attack.
///
/// ```
/// use twins_attack::{AttackSettings, Norm, RegisteredAttack, ThreatModel};
/// let settings = AttackSettings::new(ThreatModel::new(Norm::Linf, 8.0 / 255.0)?).with_steps(20);
/// let attack = RegisteredAttack::named("pgd")?.build(&settings)?;
/// assert_eq!(attack.name(), "pgd-20");
///
/// // Square makes queries, not steps.
/// let error = RegisteredAttack::named("square")?.build(&settings).unwrap_err();
/// assert!(error.to_string().contains("square has no steps"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AttackSettings {
    pub(super) threat: ThreatModel,
    pub(super) steps: Option<usize>,
    pub(super) step_size: Option<f32>,
    pub(super) random_start: Option<bool>,
    pub(super) restarts: Option<usize>,
    pub(super) targets: Option<usize>,
    pub(super) queries: Option<usize>,
    pub(super) eot: Option<usize>,
    pub(super) seed: u64,
}

impl AttackSettings {
    /// Settings with the defaults of each attack and seed 0.
    pub fn new(threat: ThreatModel) -> Self {
        let (steps, step_size, random_start, restarts) = (None, None, None, None);
        let (targets, queries, eot, seed) = (None, None, None, 0);
        Self { threat, steps, step_size, random_start, restarts, targets, queries, eot, seed }
    }

    /// Sets the number of steps.
    pub fn with_steps(mut self, steps: usize) -> Self {
        self.steps = Some(steps);
        self
    }

    /// Sets the length of a step, in the norm of the threat model.
    pub fn with_step_size(mut self, step_size: f32) -> Self {
        self.step_size = Some(step_size);
        self
    }

    /// Sets whether the attack starts at a random point of the ball rather than at the clean image.
    pub fn with_random_start(mut self, random_start: bool) -> Self {
        self.random_start = Some(random_start);
        self
    }

    /// Sets how many times the attack is run, each time with different random draws.
    pub fn with_restarts(mut self, restarts: usize) -> Self {
        self.restarts = Some(restarts);
        self
    }

    /// Sets how many classes a targeted attack aims at.
    pub fn with_targets(mut self, targets: usize) -> Self {
        self.targets = Some(targets);
        self
    }

    /// Sets the number of queries of an attack that needs no gradients.
    pub fn with_queries(mut self, queries: usize) -> Self {
        self.queries = Some(queries);
        self
    }

    /// Sets how many gradients are averaged per step.
    pub fn with_eot(mut self, eot: usize) -> Self {
        self.eot = Some(eot);
        self
    }

    /// Sets the seed of all random draws.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The settings that were given.
    fn made(&self) -> impl Iterator<Item = Setting> {
        let made = [
            (Setting::Steps, self.steps.is_some()),
            (Setting::StepSize, self.step_size.is_some()),
            (Setting::RandomStart, self.random_start.is_some()),
            (Setting::Restarts, self.restarts.is_some()),
            (Setting::Targets, self.targets.is_some()),
            (Setting::Queries, self.queries.is_some()),
            (Setting::Eot, self.eot.is_some()),
        ];
        made.into_iter().filter_map(|(setting, made)| made.then_some(setting))
    }
}

/// A setting that some attacks have and others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setting {
    /// Number of steps.
    Steps,
    /// Length of a step.
    StepSize,
    /// Start at a random point.
    RandomStart,
    /// Number of runs with different random draws.
    Restarts,
    /// Number of classes that a targeted attack aims at.
    Targets,
    /// Number of queries of an attack that needs no gradients.
    Queries,
    /// Number of gradients averaged per step.
    Eot,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Setting::Steps => "steps",
            Setting::StepSize => "step size",
            Setting::RandomStart => "random start",
            Setting::Restarts => "restarts",
            Setting::Targets => "targets",
            Setting::Queries => "queries",
            Setting::Eot => "EOT repetitions",
        })
    }
}

/// An attack that can be built by its name.
#[derive(Debug)]
pub struct RegisteredAttack {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) norms: &'static [Norm],
    pub(super) settings: &'static [Setting],
    pub(super) make: fn(&AttackSettings) -> Result<Box<dyn Attack>, AttackError>,
}

impl RegisteredAttack {
    /// Every registered attack.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        ALL.iter().copied().flatten()
    }

    /// Finds the attack with this name.
    ///
    /// # Errors
    /// [`UnknownAttack`], which lists the known names.
    pub fn named(name: &str) -> Result<&'static Self, UnknownAttack> {
        Self::all().find(|attack| attack.name == name).ok_or_else(|| UnknownAttack { name: name.to_owned() })
    }

    /// The name, in lower case with hyphens.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What the attack does, in a sentence.
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// The norms that the attack supports.
    pub fn norms(&self) -> &'static [Norm] {
        self.norms
    }

    /// The settings that the attack has, besides the threat model and the seed.
    pub fn settings(&self) -> &'static [Setting] {
        self.settings
    }

    /// Builds the attack.
    ///
    /// # Errors
    /// [`SettingError::UnsupportedSetting`] for a setting that the attack does not have, or an error of the attack's
    /// own configuration.
    pub fn build(&self, settings: &AttackSettings) -> Result<Box<dyn Attack>, AttackError> {
        match settings.made().find(|setting| !self.settings.contains(setting)) {
            Some(setting) => {
                Err(SettingError::UnsupportedSetting { attack: self.name, setting, supported: self.settings }
                    .into())
            }
            None => (self.make)(settings),
        }
    }
}

/// The error for a text that is not the name of an attack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown attack `{name}`: known are {}", known())]
pub struct UnknownAttack {
    /// The text.
    pub name: String,
}

fn known() -> String {
    RegisteredAttack::all().map(RegisteredAttack::name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_every_supported_norm_can_be_built() {
        let names: Vec<_> = RegisteredAttack::all().map(RegisteredAttack::name).collect();
        assert!((1..names.len()).all(|i| !names[..i].contains(&names[i])), "{names:?}");
        for attack in RegisteredAttack::all() {
            for norm in Norm::ALL {
                let settings = AttackSettings::new(ThreatModel::new(norm, 1.0).unwrap());
                assert_eq!(
                    attack.build(&settings).is_ok(),
                    attack.norms().contains(&norm),
                    "{attack:?}, {norm}"
                );
            }
        }
    }

    /// The settings with one that is no attack's default, and how the attack's configuration shows it.
    fn with_one(settings: AttackSettings, setting: Setting) -> (AttackSettings, &'static str) {
        match setting {
            Setting::Steps => (settings.with_steps(7), "steps: 7,"),
            Setting::StepSize => (settings.with_step_size(0.0625), "step_size: 0.0625,"),
            Setting::RandomStart => (settings.with_random_start(true), "start: Uniform,"),
            Setting::Restarts => (settings.with_restarts(3), "restarts: 3,"),
            Setting::Targets => (settings.with_targets(5), "targets: 5"),
            Setting::Queries => (settings.with_queries(7), "queries: 7,"),
            Setting::Eot => (settings.with_eot(3), "eot: 3,"),
        }
    }

    #[test]
    fn settings_reach_the_attacks_that_have_them_and_are_refused_by_the_others() {
        use Setting::{Eot, Queries, RandomStart, Restarts, StepSize, Steps, Targets};
        for attack in RegisteredAttack::all() {
            let name = attack.name();
            let default = AttackSettings::new(ThreatModel::new(attack.norms()[0], 1.0).unwrap());
            let built = attack.build(&default).unwrap();
            // The names of PGD and MI-FGSM have their number of steps.
            assert!([name.to_owned(), format!("{name}-20")].contains(&built.name()), "{name}");
            // `Top(5)` becomes `targets: 5`, as in `Malt { candidates: 100, targets: 5 }`.
            let text = |attack: &dyn Attack| format!("{attack:?}").replace("Top(", "targets: ");
            let built = text(built.as_ref());
            for setting in [Steps, StepSize, RandomStart, Restarts, Targets, Queries, Eot] {
                let (settings, shown) = with_one(default.clone(), setting);
                let changed = attack.build(&settings).map(|changed| text(changed.as_ref()));
                if attack.settings().contains(&setting) {
                    let changed = changed.unwrap();
                    assert!(!built.contains(shown) && changed.contains(shown), "{name}: {changed}");
                } else {
                    let error = changed.unwrap_err().to_string();
                    assert!(error.starts_with(&format!("{name} has no {setting}")), "{error}");
                }
            }
            // Not all attacks draw random numbers.
            let seeded = text(attack.build(&default.with_seed(7)).unwrap().as_ref());
            assert_eq!(seeded.contains("seed: 7"), built.contains("seed: 0"), "{name}: {seeded}");
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = RegisteredAttack::named("apgd").unwrap_err().to_string();
        assert!(error.contains("`apgd`") && error.contains("apgd-ce") && error.contains("square"), "{error}");
    }
}
