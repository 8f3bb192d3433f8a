use serde::{Deserialize, Serialize};

use crate::losses::ranking::argmax;

/// What counts as the success of an attack on a sample.
///
/// ```
/// use twins_attack::Criterion;
/// // The label is class 0, and the attack aims at class 2.
/// let logits = [0.1, 0.9, 0.2];
/// assert!(Criterion::Misclassified.is_met(&logits, 0, Some(2)));
/// assert!(!Criterion::ClassifiedAsTarget.is_met(&logits, 0, Some(2)));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// The model predicts any class other than the label, whichever class the attack aims at.
    #[default]
    Misclassified,
    /// The model predicts the class that the attack aims at. Without a target, this is the same as
    /// [`Criterion::Misclassified`].
    ClassifiedAsTarget,
}

impl Criterion {
    /// Returns whether these logits mean success. The prediction is the first class with the largest logit.
    pub fn is_met(self, logits: &[f32], label: usize, target: Option<usize>) -> bool {
        let prediction = argmax(logits);
        match (self, target) {
            (Self::ClassifiedAsTarget, Some(target)) => prediction == target,
            (Self::ClassifiedAsTarget, None) | (Self::Misclassified, _) => prediction != label,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tie_goes_to_the_first_class() {
        assert!(!Criterion::Misclassified.is_met(&[0.5, 0.5], 0, None));
        assert!(Criterion::Misclassified.is_met(&[0.5, 0.5], 1, None));
        assert!(Criterion::ClassifiedAsTarget.is_met(&[0.5, 0.5], 1, Some(0)));
    }

    #[test]
    fn without_a_target_any_other_class_will_do() {
        assert!(Criterion::ClassifiedAsTarget.is_met(&[0.1, 0.9], 0, None));
        assert!(!Criterion::ClassifiedAsTarget.is_met(&[0.9, 0.1], 0, None));
    }
}
