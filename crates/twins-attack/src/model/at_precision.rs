use burn::tensor::{FloatDType, Tensor};

use crate::model::classifier::Classifier;
use crate::model::precision::Precision;

/// A victim whose model computes in a given [`Precision`]. Images are cast on entry and logits are cast back to single
/// precision, so that losses, iterates and projections remain in single precision.
///
/// All results of such a victim, including its verdicts, have this precision. If an attack needs the verdicts of the
/// original model, use this victim as the surrogate in [`SurrogateGradients`](crate::SurrogateGradients). Training
/// needs only perturbed images, so this victim is sufficient for it.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{AtPrecision, Classifier, Precision};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(4, 3).init(&device);
/// let precision = Precision::Bf16;
/// precision.check(&device)?;
/// let copy = precision.copy(&model);
/// let victim = AtPrecision::new(|images: Tensor<4>| copy.forward(images.flatten::<2>(1, 3)), precision);
/// assert_eq!(victim.logits(Tensor::ones([2, 1, 2, 2], &device)).dims(), [2, 3]);
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct AtPrecision<V> {
    victim: V,
    precision: Precision,
}

impl<V: Classifier> AtPrecision<V> {
    /// Wraps a model whose parameters have this precision (see [`Precision::copy`]).
    pub fn new(victim: V, precision: Precision) -> Self {
        Self { victim, precision }
    }
}

impl<V: Classifier> Classifier for AtPrecision<V> {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.victim.logits(images.cast(self.precision.dtype())).cast(FloatDType::F32)
    }

    fn gradient_precision(&self) -> Precision {
        self.precision
    }
}
