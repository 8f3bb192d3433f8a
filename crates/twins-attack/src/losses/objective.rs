use super::loss::Loss;
use super::ranking::{best_other, largest};

/// The [`Loss`] of one sample, as a function of the logits.
#[derive(Debug, Clone, Copy)]
pub struct Objective<'a> {
    pub(super) loss: Loss,
    /// The correct class.
    pub(super) label: usize,
    /// The class to reach, if there is one.
    pub(super) target: Option<usize>,
    /// Logits of the clean image.
    pub(super) clean: &'a [f32],
}

impl Objective<'_> {
    /// Returns the loss, and writes its derivative with respect to the logits to `cotangent`.
    ///
    /// ```
    /// use twins_attack::Loss;
    /// let clean = [2.0, 1.0, 0.0];
    /// let objective = Loss::Margin.of(0, None, &clean)?;
    /// let mut cotangent = [0.0; 3];
    /// assert_eq!(objective.evaluate(&[2.0, 1.5, 0.0], &mut cotangent), -0.5);
    /// assert_eq!(cotangent, [-1.0, 1.0, 0.0]);
    /// # Ok::<(), twins_attack::AttackError>(())
    /// ```
    ///
    /// # Panics
    /// Panics unless the number of logits equals the number of clean logits.
    pub fn evaluate(&self, logits: &[f32], cotangent: &mut [f32]) -> f32 {
        assert_eq!(logits.len(), self.clean.len(), "the logits are those of the clean image's classes");
        cotangent.fill(0.0);
        match (self.loss, self.target) {
            (Loss::CrossEntropy, target) => {
                let class = target.unwrap_or(self.label);
                log_softmax(logits, cotangent);
                let log_probability = cotangent[class];
                cotangent.iter_mut().for_each(|c| *c = c.exp());
                cotangent[class] -= 1.0;
                if target.is_none() {
                    return -log_probability;
                }
                cotangent.iter_mut().for_each(|c| *c = -*c);
                log_probability
            }
            (Loss::Margin, target) => {
                let class = target.unwrap_or(self.label);
                let towards = if target.is_some() { -1.0 } else { 1.0 };
                let other = best_other(logits, class);
                cotangent[class] = -towards;
                cotangent[other] = towards;
                towards * (logits[other] - logits[class])
            }
            (Loss::Dlr, None) => {
                let [first, _, third, _] = largest(logits);
                let other = best_other(logits, self.label);
                let denominator = logits[first] - logits[third] + 1e-12;
                let loss = -(logits[self.label] - logits[other]) / denominator;
                // Quotient rule: d(-N/D) = (-dN - loss dD) / D.
                cotangent[self.label] -= 1.0 / denominator;
                cotangent[other] += 1.0 / denominator;
                cotangent[first] -= loss / denominator;
                cotangent[third] += loss / denominator;
                loss
            }
            (Loss::Dlr, Some(target)) => {
                let [first, _, third, fourth] = largest(logits);
                let denominator = logits[first] - 0.5 * (logits[third] + logits[fourth]) + 1e-12;
                let loss = -(logits[self.label] - logits[target]) / denominator;
                cotangent[self.label] -= 1.0 / denominator;
                cotangent[target] += 1.0 / denominator;
                cotangent[first] -= loss / denominator;
                cotangent[third] += 0.5 * loss / denominator;
                cotangent[fourth] += 0.5 * loss / denominator;
                loss
            }
            (Loss::ProbabilityMargin, target) => {
                softmax(logits, cotangent);
                // Compare probabilities, not logits: if several underflow to zero, the first is taken.
                let other = target.unwrap_or_else(|| best_other(cotangent, self.label));
                let loss = cotangent[other] - cotangent[self.label];
                for (class, c) in cotangent.iter_mut().enumerate() {
                    let sign = f32::from(class == other) - f32::from(class == self.label);
                    *c *= sign - loss;
                }
                loss
            }
            (Loss::Kl, _) => {
                let mut clean = vec![0.0; logits.len()];
                log_softmax(self.clean, &mut clean);
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

/// Writes `exp z / Σ exp z`. It avoids the logarithm, which would cost small probabilities their last digits.
fn softmax(logits: &[f32], out: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    out.iter_mut().zip(logits).for_each(|(o, z)| *o = (z - max).exp());
    let sum: f32 = out.iter().sum();
    out.iter_mut().for_each(|o| *o /= sum);
}

/// Writes `z - log Σ exp z`.
///
/// The maximum is subtracted to prevent overflow. It is subtracted from the logits before the logarithm is: the sum of
/// maximum and logarithm would lose the small logarithm of a confident prediction, and with it the direction of a small
/// gradient.
fn log_softmax(logits: &[f32], out: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let log_sum = logits.iter().map(|z| (z - max).exp()).sum::<f32>().ln();
    out.iter_mut().zip(logits).for_each(|(o, z)| *o = (z - max) - log_sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::ranking::ranking;
    use proptest::prelude::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, -1.0, 2.0, 0.0];

    fn value(loss: Loss, label: usize, target: Option<usize>) -> f32 {
        loss.of(label, target, &[0.0; 5]).unwrap().evaluate(&LOGITS, &mut [0.0; 5])
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
        // q = (0.086129, 0.636409, 0.011656, 0.234122, 0.031685).
        assert!((value(Loss::ProbabilityMargin, 0, None) - 0.550_280).abs() < 1e-6);
        assert!((value(Loss::ProbabilityMargin, 1, None) + 0.402_287).abs() < 1e-6);
        assert!((value(Loss::ProbabilityMargin, 1, Some(0)) + 0.550_280).abs() < 1e-6);
        // Clean prediction uniform: Σ (1/5)(log 1/5 - z_i + 3.4519143) = -1.6094379 - 1 + 3.4519143.
        assert!((value(Loss::Kl, 0, None) - 0.842_476_4).abs() < 1e-6);
    }

    #[test]
    fn hand_computed_derivatives() {
        let cases = [
            // The unit vector of class 3 minus softmax(z).
            (
                (Loss::CrossEntropy, 0, Some(3)),
                [-0.086_128_5, -0.636_408_6, -0.011_656_2, 0.765_878_3, -0.031_684_9],
            ),
            // The loss is -(z_1 - z_3) / (z_1 - z_0) = -1/2.
            ((Loss::Dlr, 1, None), [-0.25, -0.25, 0.0, 0.5, 0.0]),
            // The loss is -(z_1 - z_3) / (z_1 - (z_0 + z_4) / 2) = -1 / 2.5.
            ((Loss::Dlr, 1, Some(3)), [-0.08, -0.24, 0.0, 0.4, -0.08]),
        ];
        for ((loss, label, target), expected) in cases {
            let mut cotangent = [0.0; 5];
            loss.of(label, target, &[0.0; 5]).unwrap().evaluate(&LOGITS, &mut cotangent);
            for (found, expected) in cotangent.iter().zip(expected) {
                // A few roundings of numbers below 1.
                assert!((found - expected).abs() < 5e-7, "{loss:?} {target:?}: {cotangent:?}");
            }
        }
    }

    #[test]
    fn saturated_softmax_stays_finite() {
        let mut cotangent = [0.0; 2];
        let objective = Loss::CrossEntropy.of(0, None, &[0.0, 0.0]).unwrap();
        assert_eq!(objective.evaluate(&[300.0, -300.0], &mut cotangent), 0.0);
        assert_eq!(cotangent, [0.0, 0.0]);
    }

    /// Huge, tiny and equal logits. A label that is not among the largest would let DLR divide its margin by 1e-12.
    #[test]
    fn extreme_logits_give_finite_losses_and_derivatives() {
        let cases: [[f32; 4]; 8] = [
            [1e30, -1e30, 1e30, -1e30],
            [1e30, 0.0, -1e30, 1.0],
            [1e30, 1e30, 1e30, -1e30],
            [1e-30, -1e-30, 0.0, 1e-38],
            [1e-45, 0.0, 0.0, 0.0],
            [0.0; 4],
            [1e30; 4],
            [-1e30; 4],
        ];
        let all = [Loss::CrossEntropy, Loss::Margin, Loss::Dlr, Loss::ProbabilityMargin, Loss::Kl];
        for (loss, target) in all.into_iter().flat_map(|loss| [(loss, None), (loss, Some(3))]) {
            if loss == Loss::Kl && target.is_some() {
                continue;
            }
            for (logits, clean) in cases.iter().flat_map(|logits| cases.iter().map(move |c| (logits, c))) {
                let mut cotangent = [0.0; 4];
                let value = loss.of(0, target, clean).unwrap().evaluate(logits, &mut cotangent);
                let name = format!("{loss:?} {target:?} {logits:?} {clean:?}: {value} {cotangent:?}");
                assert!(value.is_finite() && cotangent.iter().all(|c| c.is_finite()), "{name}");
            }
        }
    }

    #[test]
    fn of_equal_logits_the_first_class_counts_as_the_largest() {
        let of = |loss: Loss, label| {
            let mut cotangent = [0.0; 4];
            let value = loss.of(label, None, &[0.0; 4]).unwrap().evaluate(&[2.0; 4], &mut cotangent);
            (value, cotangent)
        };
        assert_eq!(of(Loss::Margin, 0), (0.0, [-1.0, 1.0, 0.0, 0.0]));
        assert_eq!(of(Loss::Margin, 2), (0.0, [1.0, 0.0, -1.0, 0.0]));
        // Divided by 1e-12.
        let inverse = 1.0 / 1e-12_f32;
        assert_eq!(of(Loss::Dlr, 0), (0.0, [-inverse, inverse, 0.0, 0.0]));
        let mut cotangent = [0.0; 4];
        let targeted = Loss::Dlr.of(0, Some(1), &[0.0; 4]).unwrap();
        assert_eq!(targeted.evaluate(&[2.0; 4], &mut cotangent), 0.0);
        assert_eq!(cotangent, [-inverse, inverse, 0.0, 0.0]);
        assert_eq!(of(Loss::ProbabilityMargin, 0), (0.0, [-0.25, 0.25, 0.0, 0.0]));
        assert_eq!(of(Loss::Kl, 0), (0.0, [0.0; 4]));
    }

    fn losses() -> impl Strategy<Value = (Loss, bool)> {
        prop_oneof![
            Just((Loss::CrossEntropy, false)),
            Just((Loss::CrossEntropy, true)),
            Just((Loss::Margin, false)),
            Just((Loss::Margin, true)),
            Just((Loss::Dlr, false)),
            Just((Loss::Dlr, true)),
            Just((Loss::ProbabilityMargin, false)),
            Just((Loss::ProbabilityMargin, true)),
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
            let objective = loss.of(label, targeted.then_some((label + 1) % 4), &clean).unwrap();
            let mut cotangent = vec![0.0; logits.len()];
            let value = objective.evaluate(&logits, &mut cotangent);
            let step = 1e-2;
            let at = |offset: f32| {
                let mut moved = logits.clone();
                moved[along] += offset;
                objective.evaluate(&moved, &mut vec![0.0; moved.len()])
            };
            let difference = (at(step) - at(-step)) / (2.0 * step);
            // Central difference: step² times the third derivative (below 100 for DLR with denominators over 0.2)
            // and f32 rounding of the values over the step.
            let tolerance = 1e-2 * (1.0 + cotangent[along].abs()) + 1e-4 * value.abs() / step;
            prop_assert!((difference - cotangent[along]).abs() < tolerance, "{difference} {}", cotangent[along]);
        }
    }
}
