use serde::{Deserialize, Serialize};

use crate::error::AttackError;

/// What an attack maximises, per sample, as a function of the logits `z` and the label `y` (or a target class `t`).
///
/// | loss | untargeted | towards a target `t` | classes |
/// |---|---|---|---|
/// | cross-entropy | `log Σ exp z_i - z_y` | `z_t - log Σ exp z_i` | 2 |
/// | margin (Carlini & Wagner 2017) | `max_{i≠y} z_i - z_y` | `z_t - max_{i≠t} z_i` | 2 |
/// | DLR (Croce & Hein 2020, Sec. 5) | `-(z_y - max_{i≠y} z_i) / (z_π1 - z_π3)` | `-(z_y - z_t) / (z_π1 - (z_π3 + z_π4) / 2)` | 3, 4 |
/// | KL to the clean prediction `p` (TRADES, Zhang et al. 2019) | `Σ p_i (log p_i - log softmax(z)_i)` | | 2 |
///
/// `π` orders the logits from the largest down. DLR's denominators get 1e-12 added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Cross-entropy.
    CrossEntropy,
    /// Difference of logits.
    Margin,
    /// Difference of logits ratio, which does not change when the logits are shifted or scaled.
    Dlr,
    /// Kullback–Leibler divergence from the prediction on the clean image.
    Kl,
}

/// What a loss is taken with respect to.
#[derive(Debug, Clone, Copy)]
pub struct Aim<'a> {
    /// The right class.
    pub label: usize,
    /// The class to reach, if the attack is targeted.
    pub target: Option<usize>,
    /// Logits of the clean image (only [`Loss::Kl`] looks at them).
    pub clean: &'a [f32],
}

impl Loss {
    /// Checks that the loss is defined.
    ///
    /// # Errors
    /// [`AttackError::TooFewClasses`]: DLR needs 3 classes, and 4 towards a target. [`AttackError::TargetedKl`].
    pub fn check(self, classes: usize, targeted: bool) -> Result<(), AttackError> {
        let (loss, needed) = match (self, targeted) {
            (Loss::Kl, true) => return Err(AttackError::TargetedKl),
            (Loss::Dlr, true) => ("the targeted DLR loss", 4),
            (Loss::Dlr, false) => ("the DLR loss", 3),
            _ => return Ok(()),
        };
        if classes < needed { Err(AttackError::TooFewClasses { loss, needed, classes }) } else { Ok(()) }
    }

    /// The loss; its derivative with respect to the logits is written to `cotangent`.
    ///
    /// ```
    /// use twins_attack::{Aim, Loss};
    /// let aim = Aim { label: 0, target: None, clean: &[] };
    /// let mut cotangent = [0.0; 3];
    /// assert_eq!(Loss::Margin.evaluate(&[2.0, 1.5, 0.0], aim, &mut cotangent), -0.5);
    /// assert_eq!(cotangent, [-1.0, 1.0, 0.0]);
    /// ```
    ///
    /// # Panics
    /// Panics if the loss is not defined for so few logits or without a clean prediction, see [`Loss::check`].
    pub fn evaluate(self, logits: &[f32], aim: Aim<'_>, cotangent: &mut [f32]) -> f32 {
        cotangent.fill(0.0);
        match (self, aim.target) {
            (Loss::CrossEntropy, target) => {
                let class = target.unwrap_or(aim.label);
                let towards = if target.is_some() { -1.0 } else { 1.0 };
                log_softmax(logits, cotangent);
                let loss = -cotangent[class];
                cotangent.iter_mut().for_each(|c| *c = c.exp());
                cotangent[class] -= 1.0;
                cotangent.iter_mut().for_each(|c| *c *= towards);
                towards * loss
            }
            (Loss::Margin, target) => {
                let class = target.unwrap_or(aim.label);
                let towards = if target.is_some() { -1.0 } else { 1.0 };
                let other = best_other(logits, class);
                cotangent[class] = -towards;
                cotangent[other] = towards;
                towards * (logits[other] - logits[class])
            }
            (Loss::Dlr, None) => {
                let [first, _, third, _] = largest(logits);
                let other = best_other(logits, aim.label);
                let denominator = logits[first] - logits[third] + 1e-12;
                let loss = -(logits[aim.label] - logits[other]) / denominator;
                // Quotient rule: d(-N/D) = (-dN - loss dD) / D.
                cotangent[aim.label] -= 1.0 / denominator;
                cotangent[other] += 1.0 / denominator;
                cotangent[first] -= loss / denominator;
                cotangent[third] += loss / denominator;
                loss
            }
            (Loss::Dlr, Some(target)) => {
                let [first, _, third, fourth] = largest(logits);
                let denominator = logits[first] - 0.5 * (logits[third] + logits[fourth]) + 1e-12;
                let loss = -(logits[aim.label] - logits[target]) / denominator;
                cotangent[aim.label] -= 1.0 / denominator;
                cotangent[target] += 1.0 / denominator;
                cotangent[first] -= loss / denominator;
                cotangent[third] += 0.5 * loss / denominator;
                cotangent[fourth] += 0.5 * loss / denominator;
                loss
            }
            (Loss::Kl, _) => {
                let mut clean = vec![0.0; logits.len()];
                log_softmax(aim.clean, &mut clean);
                log_softmax(logits, cotangent);
                let mut loss = 0.0;
                for (c, &p) in cotangent.iter_mut().zip(&clean) {
                    loss += p.exp() * (p - *c);
                    *c = c.exp() - p.exp();
                }
                loss
            }
        }
    }
}

/// Writes `z - log Σ exp z`.
///
/// The maximum is taken out against overflow, and taken off the logits before the logarithm is: their sum would lose
/// the small logarithm of a confident prediction, and with it the direction of a small gradient.
fn log_softmax(logits: &[f32], out: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let log_sum = logits.iter().map(|z| (z - max).exp()).sum::<f32>().ln();
    out.iter_mut().zip(logits).for_each(|(o, z)| *o = (z - max) - log_sum);
}

/// The class other than `class` with the largest logit.
pub(crate) fn best_other(logits: &[f32], class: usize) -> usize {
    let others = (0..logits.len()).filter(|&i| i != class);
    others.reduce(|best, i| if logits[i] > logits[best] { i } else { best }).expect("at least two classes")
}

/// The places of the up to four largest logits, from the largest down; places that do not exist repeat the last.
fn largest(logits: &[f32]) -> [usize; 4] {
    let mut order = [usize::MAX; 4];
    for i in 0..logits.len() {
        let place = order.iter().position(|&o| o == usize::MAX || logits[i] > logits[o]);
        if let Some(place) = place {
            order.copy_within(place..3, place + 1);
            order[place] = i;
        }
    }
    for i in 1..4 {
        if order[i] == usize::MAX {
            order[i] = order[i - 1];
        }
    }
    order
}

/// The classes from the largest logit down, ties in the order of the classes.
pub(crate) fn ranking(logits: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, -1.0, 2.0, 0.0];

    fn value(loss: Loss, label: usize, target: Option<usize>) -> f32 {
        loss.evaluate(&LOGITS, Aim { label, target, clean: &[0.0; 5] }, &mut [0.0; 5])
    }

    #[test]
    fn hand_computed_values() {
        // log Σ exp = 3 + log(1 + e^-1 + e^-2 + e^-3 + e^-4) = 3.4519143; tolerance: a few roundings at size 3.
        assert!((value(Loss::CrossEntropy, 0, None) - 2.451_914_3).abs() < 1e-6);
        assert!((value(Loss::CrossEntropy, 0, Some(3)) + 1.451_914_3).abs() < 1e-6);
        assert_eq!(value(Loss::Margin, 0, None), 2.0);
        assert_eq!(value(Loss::Margin, 1, None), -1.0);
        assert_eq!(value(Loss::Margin, 1, Some(0)), -2.0);
        assert_eq!(value(Loss::Dlr, 1, None), -0.5);
        assert_eq!(value(Loss::Dlr, 0, None), 1.0);
        assert_eq!(value(Loss::Dlr, 1, Some(3)), -1.0 / 2.5);
        // Clean prediction uniform: Σ (1/5)(log 1/5 - z_i + 3.4519143) = -1.6094379 - 1 + 3.4519143.
        assert!((value(Loss::Kl, 0, None) - 0.842_476_4).abs() < 1e-6);
    }

    #[test]
    fn too_few_classes_are_named() {
        assert!(Loss::Dlr.check(3, false).is_ok() && Loss::Dlr.check(4, true).is_ok());
        assert!(Loss::Dlr.check(2, false).unwrap_err().to_string().contains("at least 3"));
        assert!(Loss::Dlr.check(3, true).unwrap_err().to_string().contains("at least 4"));
        assert!(matches!(Loss::Kl.check(9, true), Err(AttackError::TargetedKl)));
    }

    #[test]
    fn saturated_softmax_stays_finite() {
        let mut cotangent = [0.0; 2];
        let aim = Aim { label: 0, target: None, clean: &[0.0, 0.0] };
        assert_eq!(Loss::CrossEntropy.evaluate(&[300.0, -300.0], aim, &mut cotangent), 0.0);
        assert_eq!(cotangent, [0.0, 0.0]);
    }

    fn losses() -> impl Strategy<Value = (Loss, bool)> {
        prop_oneof![
            Just((Loss::CrossEntropy, false)),
            Just((Loss::CrossEntropy, true)),
            Just((Loss::Margin, false)),
            Just((Loss::Margin, true)),
            Just((Loss::Dlr, false)),
            Just((Loss::Dlr, true)),
            Just((Loss::Kl, false)),
        ]
    }

    proptest! {
        #[test]
        fn cotangents_are_the_derivatives(
            (loss, targeted) in losses(),
            logits in prop::collection::vec(-4.0f32..4.0, 4..9),
            label in 0usize..4,
            along in 0usize..4,
        ) {
            // Away from ties, where margin and DLR have kinks, and from vanishing denominators.
            let order = ranking(&logits);
            prop_assume!(order.windows(2).all(|w| logits[w[0]] - logits[w[1]] > 0.1));
            let clean = vec![0.5; logits.len()];
            let aim = Aim { label, target: targeted.then_some((label + 1) % 4), clean: &clean };
            let mut cotangent = vec![0.0; logits.len()];
            let value = loss.evaluate(&logits, aim, &mut cotangent);
            let step = 1e-2;
            let at = |offset: f32| {
                let mut moved = logits.clone();
                moved[along] += offset;
                loss.evaluate(&moved, aim, &mut vec![0.0; moved.len()])
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            // Central difference: step² times the third derivative (below 100 for DLR with denominators over 0.2)
            // and f32 rounding of the values over the step.
            let tolerance = 1e-2 * (1.0 + cotangent[along].abs()) + 1e-4 * value.abs() / step;
            prop_assert!((difference - cotangent[along]).abs() < tolerance, "{difference} {}", cotangent[along]);
        }
    }
}
