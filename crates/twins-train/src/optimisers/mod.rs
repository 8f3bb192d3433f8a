//! The training step, optimisers, learning-rate schedules, weight perturbation and weight averaging.

mod adamw;
mod awp;
mod ema;
mod gradient_norms;
mod groups;
mod optimiser;
mod schedule;
mod sgd;
mod step;
mod trainable;

pub use adamw::AdamW;
pub use awp::AwpConfig;
pub(crate) use awp::ascended;
pub(crate) use ema::Ema;
pub use groups::{Decay, GroupsConfig, ParameterGroups};
pub use optimiser::{Optimiser, OptimiserConfig};
pub use schedule::{Position, Schedule};
pub use sgd::Sgd;
pub use step::{StepSettings, step, step_with_parameters};
pub(crate) use step::{checked_step, report, update};
