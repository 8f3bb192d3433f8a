use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

/// Computes the Kullback–Leibler divergence of TRADES: Σ p·(log p − log q), averaged over the batch, where p =
/// softmax(clean) and q = softmax(adversarial). This is PyTorch's `kl_div` with the clean probabilities as soft targets
/// and the batch mean. Gradients flow through both arguments.
///
/// # Shapes
///
/// - `clean`, `adversarial`: logits `[n, classes]`, output: `[1]`
pub(super) fn divergence(clean: Tensor<2>, adversarial: Tensor<2>) -> Tensor<1> {
    let samples = clean.dims()[0] as f64;
    let clean = log_softmax(clean, 1);
    (clean.clone().exp() * (clean - log_softmax(adversarial, 1))).sum().div_scalar(samples)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn by_hand() {
        let device = Device::flex();
        let clean = Tensor::<2>::from_floats([[0.0, 0.0], [1.0, 1.0]], &device);
        let adversarial = Tensor::<2>::from_floats([[3f32.ln(), 0.0], [5.0, 5.0]], &device);
        // First: ½ ln(½ / ¾) + ½ ln(½ / ¼) = ½ ln(4/3); second: 0. Float32 rounding.
        let value = divergence(clean, adversarial).into_scalar::<f32>();
        assert!((value - 0.25 * (4f32 / 3.0).ln()).abs() < 1e-6, "{value}");
    }
}
