use serde::{Deserialize, Serialize};

use super::objective::Objective;
use crate::error::AttackError;
use crate::error::setting::SettingError;

/// The function of the logits `z` and the label `y` (or a target class `t`) that an attack maximises for each sample.
///
/// | loss | untargeted | towards a target `t` | classes |
/// |---|---|---|---|
/// | cross-entropy | `log Σ exp z_i - z_y` | `z_t - log Σ exp z_i` | 2 |
/// | margin (Carlini & Wagner 2017) | `max_{i≠y} z_i - z_y` | `z_t - max_{i≠t} z_i` | 2 |
/// | DLR (Croce & Hein 2020, Sec. 5) | `-(z_y - max_{i≠y} z_i) / (z_π1 - z_π3)` | `-(z_y - z_t) / (z_π1 - (z_π3 + z_π4) / 2)` | 3, 4 |
/// | probability margin (PMA, arXiv 2411.15210), with `q = softmax(z)` | `max_{i≠y} q_i - q_y` | `q_t - q_y` | 2 |
/// | KL to the clean prediction `p` (TRADES, Zhang et al. 2019) | `Σ p_i (log p_i - log softmax(z)_i)` | | 2 |
///
/// `π` orders the logits from the largest to the smallest. 1e-12 is added to the denominators of DLR. The probability
/// margin lies in [-1, 1]. Its gradient is exactly zero where the label's probability rounds to 1 and the others
/// underflow to 0, and so is that of the cross-entropy: at differences of logits above about 100, an attack on either
/// loss does not move. In L2, where [steps](crate::ThreatModel::steepest) divide by `‖g‖₂ + 1e-12`, it hardly moves above
/// about 30. Margin and DLR have no such limit.
///
/// Logits are finite; an attack returns [`AttackError::Logits`](crate::AttackError::Logits) otherwise. If two logits are
/// equal, the class that comes first counts as the larger one. DLR divides by 1e-12 if the first and the third logit are
/// equal (targeted: the first four). Differences of logits beyond 3.4e38 overflow, and so do losses that contain them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Cross-entropy.
    CrossEntropy,
    /// Difference of logits.
    Margin,
    /// Difference of logits ratio, which does not change when the logits are shifted or scaled.
    Dlr,
    /// Difference of probabilities, the loss of PMA (probability margin attack).
    ProbabilityMargin,
    /// Kullback–Leibler divergence from the prediction on the clean image.
    Kl,
}

impl Loss {
    /// Checks that the loss is defined for this number of classes, with or without a target.
    ///
    /// # Errors
    /// [`AttackError::TooFewClasses`] for DLR, which needs 3 classes, or 4 with a target; [`SettingError::TargetedKl`].
    pub fn check(self, classes: usize, targeted: bool) -> Result<(), AttackError> {
        let (loss, needed) = match (self, targeted) {
            (Loss::Kl, true) => return Err(SettingError::TargetedKl.into()),
            (Loss::Dlr, true) => ("the targeted DLR loss", 4),
            (Loss::Dlr, false) => ("the DLR loss", 3),
            _ => return Ok(()),
        };
        if classes < needed { Err(AttackError::TooFewClasses { loss, needed, classes }) } else { Ok(()) }
    }

    /// The DLR loss, or the margin loss for so few classes that DLR is not defined.
    ///
    /// ```
    /// use twins_attack::Loss;
    ///
    /// assert_eq!(Loss::dlr_or_margin(3, false), Loss::Dlr);
    /// assert_eq!(Loss::dlr_or_margin(3, true), Loss::Margin);
    /// ```
    pub fn dlr_or_margin(classes: usize, targeted: bool) -> Self {
        if Loss::Dlr.check(classes, targeted).is_ok() { Loss::Dlr } else { Loss::Margin }
    }

    /// Returns the loss of one sample, which leads away from its label or towards a target. `clean` contains the logits
    /// of the clean image, which only [`Loss::Kl`] uses.
    ///
    /// # Errors
    /// The errors of [`check`](Self::check).
    pub fn of<'a>(
        self,
        label: usize,
        target: Option<usize>,
        clean: &'a [f32],
    ) -> Result<Objective<'a>, AttackError> {
        self.check(clean.len(), target.is_some())?;
        Ok(Objective { loss: self, label, target, clean })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_classes_are_named() {
        assert!(Loss::Dlr.check(3, false).is_ok() && Loss::Dlr.check(4, true).is_ok());
        let losses = [(2, false), (3, false), (3, true), (4, true)]
            .map(|(classes, to)| Loss::dlr_or_margin(classes, to));
        assert_eq!(losses, [Loss::Margin, Loss::Dlr, Loss::Margin, Loss::Dlr]);
        assert!(Loss::Dlr.check(2, false).unwrap_err().to_string().contains("at least 3"));
        assert!(Loss::Dlr.check(3, true).unwrap_err().to_string().contains("at least 4"));
        assert!(matches!(Loss::Kl.check(9, true), Err(AttackError::Setting(SettingError::TargetedKl))));
    }
}
