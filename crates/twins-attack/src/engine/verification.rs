use std::fmt;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The rule that decides whether a claimed adversarial example counts.
///
/// Every image that an attack claims is checked again from scratch. It must lie in the box and in the ball around the
/// clean image, and fresh forward passes outside the attack must misclassify it (or predict the target, if the
/// criterion requires it). There are `fresh_draws` of these passes, without gradients.
///
/// One pass is the rule of the reference implementation and is sufficient for a deterministic model. For a randomised
/// model, each verdict is then one draw from the model, so robust accuracy estimates the probability that the model
/// classifies an attacked image correctly. With more draws, robust accuracy measures the majority vote of the model
/// instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VerificationRule {
    /// Number of forward passes that decide whether a claimed image is misclassified.
    pub fresh_draws: usize,
    /// How many of the passes must misclassify the image.
    pub quorum: Quorum,
}

/// How many of several forward passes must misclassify an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Quorum {
    /// More than half of them.
    Majority,
}

impl VerificationRule {
    /// The majority of this many passes.
    pub(crate) fn majority_of(fresh_draws: usize) -> Self {
        Self { fresh_draws, quorum: Quorum::Majority }
    }

    pub(crate) fn holds(&self, successes: usize) -> bool {
        match self.quorum {
            Quorum::Majority => 2 * successes > self.fresh_draws,
        }
    }
}

impl Default for VerificationRule {
    /// One pass.
    fn default() -> Self {
        Self::majority_of(1)
    }
}

impl fmt::Display for VerificationRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fresh_draws {
            1 => f.write_str("misclassified in 1 fresh forward pass"),
            draws => write!(f, "misclassified in more than half of {draws} fresh forward passes"),
        }
    }
}

/// The results of checking the adversarial examples that an attack claimed (see [`VerificationRule`]).
///
/// An image that fails the check is not used: its sample counts as robust against that run of the attack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Verification {
    /// Number of images that the attack claimed.
    pub claimed: u64,
    /// Number of claimed images with a value outside [0, 1].
    pub outside_box: u64,
    /// Number of claimed images that are farther than epsilon from the clean image.
    pub outside_ball: u64,
    /// Number of claimed images that the fresh forward passes did not misclassify.
    pub not_misclassified: u64,
    /// Number of images run through the model for the check. They are included in the `forwards` of a stage and of a
    /// report.
    pub forwards: u64,
}

impl Verification {
    /// The number of claimed images that failed the check.
    pub fn refuted(&self) -> u64 {
        self.outside_box.saturating_add(self.outside_ball).saturating_add(self.not_misclassified)
    }
}

/// Stops at the largest number, because a journal that was altered can hold any.
impl AddAssign for Verification {
    fn add_assign(&mut self, other: Self) {
        self.claimed = self.claimed.saturating_add(other.claimed);
        self.outside_box = self.outside_box.saturating_add(other.outside_box);
        self.outside_ball = self.outside_ball.saturating_add(other.outside_ball);
        self.not_misclassified = self.not_misclassified.saturating_add(other.not_misclassified);
        self.forwards = self.forwards.saturating_add(other.forwards);
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { claimed, outside_box, outside_ball, not_misclassified, .. } = self;
        write!(
            f,
            "{} of {claimed} claimed adversarial examples failed the check ({outside_box} outside the box, \
             {outside_ball} outside the ball, {not_misclassified} not misclassified)",
            self.refuted()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_too_large_do_not_become_small() {
        let mut sum = Verification { claimed: 7, outside_box: u64::MAX, ..Verification::default() };
        sum += Verification { outside_box: 1, outside_ball: 1, ..sum };
        assert_eq!((sum.claimed, sum.refuted()), (14, u64::MAX));
    }

    #[test]
    fn a_majority_is_more_than_half() {
        let holds = |draws, successes| VerificationRule::majority_of(draws).holds(successes);
        assert!(holds(1, 1) && !holds(1, 0));
        assert!(!holds(4, 2) && holds(4, 3) && holds(5, 3) && !holds(5, 2));
    }

    #[test]
    fn failed_claims_are_counted_by_reason() {
        let found =
            Verification { claimed: 9, outside_box: 1, outside_ball: 2, not_misclassified: 3, forwards: 6 };
        assert_eq!(
            found.to_string(),
            "6 of 9 claimed adversarial examples failed the check (1 outside the box, 2 outside the ball, 3 not misclassified)"
        );
    }
}
