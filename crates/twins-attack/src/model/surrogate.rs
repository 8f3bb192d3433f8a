use burn::tensor::{FloatDType, Tensor};

use crate::model::classifier::Classifier;
use crate::model::precision::Precision;

/// A victim with the logits of one model and the input gradients of another model, its surrogate.
///
/// ```text
/// value: z(x)        gradient: ∂s/∂x
/// ```
///
/// Here, z are the logits of the model under attack and s are those of its surrogate. An attack sees the model's own
/// logits everywhere, including in gradient passes. Whether a sample is fooled, the value of the loss and its
/// derivative with respect to the logits are therefore those of the model, bit for bit. The surrogate only decides
/// where the attack moves next, so a poor surrogate makes the attack weaker but never causes a wrong verdict. The
/// surrogate must be in its inference form, too: its logits are not compared, so its training form is not detected. A
/// gradient pass costs a forward pass of the model in addition to the surrogate's forward and backward pass. A pass
/// without gradients costs only a forward pass of the model.
///
/// With an [`AtPrecision`](crate::AtPrecision) as the surrogate, the attack runs in half precision. Another use is a
/// differentiable replacement for a model without useful gradients (backward pass differentiable approximation, Athalye
/// et al., ICML 2018, section 4.1).
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{
///     AtPrecision, Attack, Norm, PgdConfig, Precision, Samples, SurrogateGradients, ThreatModel,
/// };
///
/// let device = Device::flex();
/// let model = LinearConfig::new(4, 3).init(&device);
/// let half = Precision::F16.copy(&model);
/// let victim = SurrogateGradients::new(
///     |images: Tensor<4>| model.forward(images.flatten::<2>(1, 3)),
///     AtPrecision::new(|images: Tensor<4>| half.forward(images.flatten::<2>(1, 3)), Precision::F16),
/// );
/// let samples = Samples::new(Tensor::full([2, 1, 2, 2], 0.5, &device), vec![0, 2])?;
/// let pgd = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.1)?, 10, 0.02).build()?;
/// assert_eq!(pgd.run(&victim, &samples)?.fooled.len(), 2);
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SurrogateGradients<V, S> {
    model: V,
    surrogate: S,
}

impl<V: Classifier, S: Classifier> SurrogateGradients<V, S> {
    /// Combines the model under attack with the surrogate that provides the gradients. Both must be on the same device
    /// and have the same classes.
    pub fn new(model: V, surrogate: S) -> Self {
        Self { model, surrogate }
    }
}

impl<V: Classifier, S: Classifier> Classifier for SurrogateGradients<V, S> {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        if !images.is_tracked() {
            return self.model.logits(images);
        }
        let exact = self.model.logits(images.clone().inner()).cast(FloatDType::F32);
        let surrogate = self.surrogate.logits(images).cast(FloatDType::F32);
        // The term in parentheses is exactly zero where it is finite, and has the surrogate's derivative.
        exact.autodiff() + (surrogate.clone() - surrogate.detach())
    }

    fn gradient_precision(&self) -> Precision {
        self.surrogate.gradient_precision()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::attacks::pgd::config::PgdConfig;
    use crate::engine::attack::Attack;
    use crate::error::AttackError;
    use crate::model::at_precision::AtPrecision;
    use crate::model::gradient::Tracked;
    use crate::norms::norm::Norm;
    use crate::norms::threat_model::ThreatModel;
    use crate::samples::in_memory::Samples;

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data_as::<f32>().try_into_vec::<f32>().unwrap()
    }

    #[test]
    fn values_are_the_models_and_gradients_the_surrogates() {
        // 1/3 has no end in binary: a sum that rounds would show.
        let model = |x: Tensor<4>| x.flatten::<2>(1, 3) / 3.0;
        let surrogate = |x: Tensor<4>| x.flatten::<2>(1, 3) * 7.0 + 100.1;
        let victim = SurrogateGradients::new(model, surrogate);
        let images = Tensor::<4>::from_floats([[[[0.3, 0.7]]]], &Device::flex());
        let tracked = Tracked::forward(&victim, images.clone()).unwrap();
        assert_eq!(values(tracked.logits()), values(model(images.clone())));
        let cotangents = Tensor::from_floats([[1.0, -2.0]], &Device::flex());
        assert_eq!(values(tracked.gradient(cotangents).unwrap()), [7.0, -14.0]);
        assert_eq!(values(victim.logits(images.clone())), values(model(images)));
    }

    #[test]
    fn a_sample_is_fooled_only_if_the_model_says_so() {
        // The surrogate sees class 1 everywhere; the model never does.
        let model = |x: Tensor<4>| {
            let x = x.flatten::<2>(1, 3);
            Tensor::cat(vec![x.clone() + 1.0, x.mul_scalar(0.0)], 1)
        };
        let surrogate = |x: Tensor<4>| {
            let x = x.flatten::<2>(1, 3);
            Tensor::cat(vec![x.clone().neg(), x + 1.0], 1)
        };
        let samples = Samples::new(Tensor::full([1, 1, 1, 1], 0.5, &Device::flex()), vec![0]).unwrap();
        let pgd = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.25).unwrap(), 5, 0.1).build().unwrap();
        assert_eq!(pgd.run(&surrogate, &samples).unwrap().fooled, [true]);
        let victim = SurrogateGradients::new(model, surrogate);
        assert_eq!(pgd.run(&victim, &samples).unwrap().fooled, [false]);
    }

    /// What a confident model's loss passes back is far below f16's range: at a margin of 40, e⁻⁴⁰ = 4e-18.
    #[test]
    fn gradients_below_the_range_of_f16_survive() {
        let model = |x: Tensor<4>| x.flatten::<2>(1, 3) * 50.0;
        let images = Tensor::<4>::from_floats([[[[0.9, 0.1]]], [[[0.5, 0.5]]]], &Device::flex());
        let cotangents = || Tensor::from_floats([[-4e-18, 4e-18], [0.0, 0.0]], &Device::flex());
        let gradient = |victim: &dyn Classifier| -> Result<Vec<f32>, AttackError> {
            Ok(values(Tracked::forward(victim, images.clone())?.gradient(cotangents())?))
        };
        let exact = gradient(&model).unwrap();
        assert_eq!(exact[2..], [0.0, 0.0]);
        for precision in [Precision::F16, Precision::Bf16] {
            let half = gradient(&AtPrecision::new(model, precision)).unwrap();
            for (half, exact) in half.iter().zip(&exact) {
                // Two roundings of bf16, 2⁻⁸ each.
                assert!((half - exact).abs() <= exact.abs() / 128.0, "{precision}: {half}, {exact}");
            }
        }
    }
}
