use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// −log softmax(logits)[label], averaged over the batch.
///
/// # Shapes
///
/// - `logits`: `[n, classes]`, `labels`: `[n]`, output: `[1]`
pub(super) fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1)).mean().neg()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn by_hand() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[0.0, 0.0], [3f32.ln(), 0.0]], &device);
        let labels = Tensor::<1, Int>::from_ints([0, 1], &device);
        // (ln 2 + ln 4) / 2 = 1.5 ln 2; float32 rounding.
        let loss = cross_entropy(logits, labels).into_scalar::<f32>();
        assert!((loss - 1.5 * 2f32.ln()).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn large_logits_stay_finite() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[1e4, -1e4]], &device);
        let labels = Tensor::<1, Int>::from_ints([1], &device);
        // ln(1 + e^-20000) vanishes: the loss is the gap, exact in float32.
        assert_eq!(cross_entropy(logits, labels).into_scalar::<f32>(), 2e4);
    }
}
