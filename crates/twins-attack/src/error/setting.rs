use thiserror::Error;

use crate::attacks::registry::Setting;
use crate::model::precision::Precision;
use crate::norms::norm::{Norm, enumerate};
use crate::norms::threat_model::ThreatModel;

/// What can be wrong with the settings of an attack or an evaluation.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SettingError {
    /// The radius of a threat model is negative or not a number.
    #[error("epsilon is {epsilon}: give a finite radius of at least 0 on the [0, 1] scale, such as 8/255")]
    Epsilon {
        /// The offending radius.
        epsilon: f32,
    },
    /// The radius of a Linf threat model is larger than the range of images. Most often, it was given in levels from 0
    /// to 255.
    #[error("epsilon {epsilon} is above 1: images are in [0, 1]; {}", of_levels(*.epsilon))]
    LinfEpsilon {
        /// The offending radius.
        epsilon: f32,
    },
    /// The radius of an L0 threat model is not a whole number. It must be one because it is a number of values.
    #[error(
        "epsilon {epsilon} is no whole number: in L0 it is how many values of an image may change; {}",
        of_count(*.epsilon)
    )]
    L0Epsilon {
        /// The offending radius.
        epsilon: f32,
    },
    /// An attack does not support the norm.
    #[error("{attack} does not support {symbol}: it supports {names}", symbol = norm.symbol(), names = enumerate(supported))]
    UnsupportedNorm {
        /// The attack.
        attack: &'static str,
        /// The norm of the threat model.
        norm: Norm,
        /// The norms that the attack supports.
        supported: &'static [Norm],
    },
    /// The radius is zero where only a positive one makes sense.
    #[error(
        "epsilon is 0: no image but the clean one is allowed, so there is nothing to evaluate; report clean accuracy, or give a positive epsilon"
    )]
    ZeroEpsilon,
    /// An attack was given a setting that it does not have.
    #[error("{attack} has no {setting}: {}", settings(.supported))]
    UnsupportedSetting {
        /// The attack.
        attack: &'static str,
        /// The setting.
        setting: Setting,
        /// The settings that it has.
        supported: &'static [Setting],
    },
    /// A count of an attack or evaluation, such as its number of steps, is zero.
    #[error("{attack} with 0 {what} does nothing: give at least 1")]
    ZeroSteps {
        /// The attack that was configured.
        attack: &'static str,
        /// What was counted: steps, queries, restarts, ...
        what: &'static str,
    },
    /// A custom attack returns 0 as a number of targets, restarts or passes.
    #[error("{attack} returns 0 {what}: give at least 1")]
    ZeroCount {
        /// The attack.
        attack: String,
        /// What was counted: targets, restarts, ...
        what: &'static str,
    },
    /// A step size is negative, infinite or not a number.
    #[error("step size is {step_size}: give a finite, non-negative one on the [0, 1] scale, such as 2/255")]
    StepSize {
        /// The offending step size.
        step_size: f32,
    },
    /// A setting is outside its range.
    #[error("{name} is {value}: it must lie in {range}")]
    OutOfRange {
        /// Name of the setting.
        name: &'static str,
        /// The offending value.
        value: f32,
        /// The allowed range in words.
        range: &'static str,
    },
    /// The last iterate is requested of an attack that does not return it.
    #[error("{attack} returns the first fooled or the best iterate: its last one is arbitrary")]
    LastIterate {
        /// The attack.
        attack: &'static str,
    },
    /// The loss has no targeted form.
    #[error("the KL loss has no target: use cross-entropy, margin or DLR for a targeted attack")]
    TargetedKl,
    /// The KL loss is to be maximised from the clean image, where its gradient is zero.
    #[error(
        "the KL loss cannot be maximised from the clean image, where its gradient is zero, so that the image would never \
         change: start from Start::Uniform, or from Start::Gaussian(0.001) as TRADES does (in a file: start = \"uniform\" or \
         start = {{ gaussian = 0.001 }})"
    )]
    KlFromClean,
    /// MALT's choice of targets is requested in L0, which has no dual norm.
    #[error(
        "{attack} with MALT's choice of targets does not support {symbol}, which has no dual norm for its scores: choose \
         Targets::Top, which ranks classes by their logits",
        symbol = norm.symbol()
    )]
    NoDualNorm {
        /// The attack.
        attack: String,
        /// The norm of the threat model.
        norm: Norm,
    },
    /// MALT's choice of targets is requested where no gradients of clean images are computed.
    #[error(
        "MALT's choice of targets needs gradients of the clean images, which Pgd::perturb does not compute: choose Targets::Top, \
         which ranks classes by their logits, or use Attack::run"
    )]
    MaltInTraining,
    /// The batch size is zero.
    #[error("batch size is 0: give at least 1")]
    BatchSize,
    /// The list of attacks is empty.
    #[error("the list of attacks is empty: name at least one")]
    NoAttacks,
    /// A threat model is listed twice.
    #[error("the list of threat models has {threat} twice: name each once")]
    DuplicateThreat {
        /// The threat model.
        threat: ThreatModel,
    },
    /// A device cannot compute in the requested precision.
    #[error("{device} cannot compute in `{precision}`: choose {supported}, or another device")]
    Precision {
        /// The device.
        device: String,
        /// The requested precision.
        precision: Precision,
        /// The precisions that the device supports.
        supported: String,
    },
}

/// What to do about a setting that an attack does not have.
fn settings(supported: &[Setting]) -> String {
    let names: Vec<String> = supported.iter().map(Setting::to_string).collect();
    format!("leave it out; its settings are {}", names.join(", "))
}

/// What an epsilon above 1 was probably meant to be.
fn of_levels(epsilon: f32) -> String {
    if epsilon <= 255.0 {
        format!("did you mean {epsilon}/255?")
    } else {
        "give a fraction such as 8/255".to_owned()
    }
}

/// What an epsilon that is not a whole number was probably meant to be.
fn of_count(epsilon: f32) -> String {
    if epsilon < 1.0 {
        "give a count such as 24 (a radius on the [0, 1] scale belongs to another norm, and a fraction of the values has to be \
         multiplied by their number)"
            .to_owned()
    } else {
        format!("give {} or {}", epsilon.floor(), epsilon.ceil())
    }
}
