use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::verification::Verification;
use crate::losses::loss::Loss;

/// A reason to interpret the results of an evaluation with care.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", tag = "kind")]
#[non_exhaustive]
pub enum Warning {
    /// Two identical calls gave different logits.
    Randomised {
        /// The largest difference between two logits.
        difference: f32,
    },
    /// The model's outputs look like probabilities: they are not negative and sum to one.
    Probabilities,
    /// The cross-entropy has no gradient at some clean images.
    ZeroGradient {
        /// Number of such images.
        samples: usize,
        /// Number of images that were checked.
        of: usize,
    },
    /// An attack without gradients, such as Square, lowered robust accuracy noticeably after gradient attacks.
    SquareEffective {
        /// The attack; `square` if the report is of an earlier version.
        #[serde(default = "square")]
        attack: String,
        /// Number of samples that only this attack broke.
        samples: usize,
        /// Number of all samples.
        of: usize,
    },
    /// An attack claimed adversarial examples that failed the check, although the model is deterministic.
    Refuted {
        /// The attack.
        attack: String,
        /// The results of checking its claims.
        verification: Verification,
    },
    /// A loss is not defined for so few classes, so another loss was used.
    LossReplaced {
        /// The attack.
        attack: String,
        /// The loss used in place of DLR.
        by: Loss,
        /// How many classes the model has.
        classes: usize,
    },
    /// There are fewer wrong classes than a targeted attack was configured to aim at.
    FewerTargets {
        /// The attack.
        attack: String,
        /// Number of classes that it was configured to aim at.
        wanted: usize,
        /// Number of wrong classes.
        targets: usize,
    },
}

fn square() -> String {
    "square".to_owned()
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Randomised { difference } => write!(
                f,
                "the model is randomised (identical calls differ by up to {difference}): of AutoAttack's versions, only `rand` averages \
                 its gradients over several calls"
            ),
            Warning::Probabilities => write!(
                f,
                "the model seems to return probabilities: return logits, or the gradients vanish where it is sure"
            ),
            Warning::ZeroGradient { samples, of } => write!(
                f,
                "the cross-entropy has no gradient at {samples} of {of} clean images: gradients may be masked"
            ),
            Warning::SquareEffective { attack, samples, of } => {
                let attack = if attack == "square" { "Square" } else { attack };
                write!(
                    f,
                    "of all {of} samples, {attack} broke {samples} that withstood the gradient attacks: gradients may be masked, \
                     and the true robust accuracy may be lower"
                )
            }
            Warning::Refuted { attack, verification } => write!(
                f,
                "{attack}: {verification}; they are not used: the model's logits may depend on the rest of the batch or on \
                 whether a gradient is computed"
            ),
            Warning::LossReplaced { attack, by, classes } => {
                write!(f, "{attack} uses the {by:?} loss: DLR is not defined for {classes} classes")
            }
            Warning::FewerTargets { attack, wanted, targets } => {
                write!(
                    f,
                    "{attack} aims at {targets} classes in place of {wanted}: there are no more wrong ones"
                )
            }
        }
    }
}
