//! Projected gradient descent and its variants.

pub use attack::Pgd;
pub use config::{PgdConfig, Start};

use super::registry::{AttackSettings, RegisteredAttack, Setting};

pub(crate) mod attack;
pub(crate) mod config;
pub(crate) mod perturb;

pub(super) const REGISTERED: &[RegisteredAttack] = &[
    RegisteredAttack {
        name: "fgsm",
        summary: "one step of length epsilon along the gradient of the cross-entropy",
        norms: Pgd::NORMS,
        settings: &[Setting::RandomStart, Setting::Restarts, Setting::Eot],
        make: |settings| Ok(Box::new(common(PgdConfig::fgsm(settings.threat), settings).build()?)),
    },
    RegisteredAttack {
        name: "pgd",
        summary: "20 steps of a quarter of epsilon along the gradient of the cross-entropy",
        norms: Pgd::NORMS,
        settings: &[Setting::Steps, Setting::StepSize, Setting::RandomStart, Setting::Restarts, Setting::Eot],
        make: |settings| {
            let default = PgdConfig::default_step_size(settings.threat.epsilon());
            let step_size = settings.step_size.unwrap_or(default);
            let config = PgdConfig::new(
                settings.threat,
                settings.steps.unwrap_or(PgdConfig::DEFAULT_STEPS),
                step_size,
            );
            Ok(Box::new(common(config, settings).build()?))
        },
    },
    RegisteredAttack {
        name: "mi-fgsm",
        summary: "20 steps with momentum, of epsilon over their number",
        norms: Pgd::NORMS,
        settings: &[Setting::Steps, Setting::RandomStart, Setting::Restarts, Setting::Eot],
        make: |settings| {
            let config =
                PgdConfig::mi_fgsm(settings.threat, settings.steps.unwrap_or(PgdConfig::DEFAULT_STEPS));
            Ok(Box::new(common(config, settings).build()?))
        },
    },
];

fn common(config: PgdConfig, settings: &AttackSettings) -> PgdConfig {
    let start = if settings.random_start == Some(true) { Start::Uniform } else { Start::Clean };
    let config = config.with_start(start).with_seed(settings.seed).with_eot(settings.eot.unwrap_or(1));
    config.with_restarts(settings.restarts.unwrap_or(1))
}
