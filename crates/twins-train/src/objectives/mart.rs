use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Int, Tensor};
use twins_nn::{ImageClassifier, Wing};

use super::mixed_precision::logits_of;
use super::objective::{Loss, Objective, TrainingBatch};
use super::targets::Targets;

/// Keeps the logarithm of the margin finite if another class has all the probability. The value is that of the authors'
/// code.
const MARGIN_FLOOR: f64 = 1e-4;

/// MART with ordinary batch normalisation over the whole batch. The divergence has more weight for clean images whose
/// label has a low probability.
///
/// ```text
/// L = −log p'_y − log(1 − max_{k≠y} p'_k) + beta · KL(p ‖ p') · (1 − p_y)
/// ```
///
/// Where p = softmax f(x), p' = softmax f(x') and every term is a mean over the batch. The adversarial pass runs before the
/// clean pass. Both update the running statistics, and gradients flow through both. Source: Wang et al., "Improving
/// Adversarial Robustness Requires Revisiting Misclassified Examples", ICLR 2020, equation 11.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mart {
    /// Weight of the divergence: the paper's λ, which is 5 to 6 there.
    pub beta: f64,
}

impl<M: ImageClassifier> Objective<M> for Mart {
    fn wing(&self) -> Wing {
        Wing::AdaptiveTraining
    }

    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        let logits = logits_of(model, batch.adversarial.clone());
        let clean = logits_of(model, batch.clean.clone());
        let total = boosted_cross_entropy(logits.clone(), batch.labels.clone(), batch.targets.clone())
            + weighted_divergence(clean, logits.clone(), batch.labels.clone()).mul_scalar(self.beta);
        Loss { adaptive: total.clone(), total, frozen: None, logits }
    }
}

/// Computes −log p_y − log(1 − max_{k≠y} p_k), averaged over the batch.
fn boosted_cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>, targets: Targets) -> Tensor<1> {
    let probabilities = softmax(logits.clone(), 1);
    // −1 is below every probability, so the label's class is never the maximum.
    let label = labels.one_hot::<2>(logits.dims()[1]).equal_elem(1);
    let rival = probabilities.mask_fill(label, -1.0).max_dim(1);
    let margin = rival.neg().add_scalar(1.0 + MARGIN_FLOOR).log().mean();
    targets.cross_entropy(logits) - margin
}

/// Computes Σ_k p_k (log p_k − log p'_k) · (1 − p_y), averaged over the batch.
fn weighted_divergence(clean: Tensor<2>, adversarial: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let clean = log_softmax(clean, 1);
    let probabilities = clean.clone().exp();
    let divergence = (probabilities.clone() * (clean - log_softmax(adversarial, 1))).sum_dim(1);
    let weight = probabilities.gather(1, labels.unsqueeze_dim(1)).neg().add_scalar(1.0);
    (divergence * weight).mean()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn by_hand() {
        let device = Device::flex();
        let labels = Tensor::<1, Int>::from_ints([0], &device);
        // Probabilities ¼, ½, ¼: −ln ¼ − ln(1.0001 − ½). Float32 rounding.
        let logits = Tensor::<2>::from_floats([[0.0, 2f32.ln(), 0.0]], &device);
        let value = boosted_cross_entropy(logits.clone(), labels.clone(), Targets::new(labels.clone()))
            .into_scalar::<f32>();
        assert!((value - (4f32.ln() - 0.5001f32.ln())).abs() < 1e-6, "{value}");
        // Clean probabilities ⅓ each: (⅓ ln(4/3) + ⅓ ln(2/3) + ⅓ ln(4/3)) · ⅔.
        let clean = Tensor::<2>::zeros([1, 3], &device);
        let value = weighted_divergence(clean, logits, labels).into_scalar::<f32>();
        let expected = (2.0 * (4f32 / 3.0).ln() + (2f32 / 3.0).ln()) / 3.0 * (2.0 / 3.0);
        assert!((value - expected).abs() < 1e-6, "{value}");
    }

    #[test]
    fn a_hopeless_sample_has_a_finite_loss() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[-100.0, 100.0]], &device);
        let labels = Tensor::<1, Int>::from_ints([0], &device);
        let value = boosted_cross_entropy(logits, labels.clone(), Targets::new(labels)).into_scalar::<f32>();
        // The cross-entropy's 200 and −ln 1e-4, which float32 rounds from 1.0001 − 1.
        assert!((value - 200.0 - 1e4f32.ln()).abs() < 1e-2, "{value}");
    }
}
