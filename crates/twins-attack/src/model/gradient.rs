//! Input gradients. This is the only code of the crate that uses automatic differentiation.
//!
//! A loss never enters the autodiff graph. Its derivative with respect to the logits, the cotangent, is implemented by
//! hand (`loss.rs`), and the chain rule starts there: `∂loss/∂x = (∂logits/∂x)ᵀ · cotangent`, which is the gradient of
//! `Σ logits · cotangent` with a fixed cotangent. One pass can therefore serve samples that use different losses.

use burn::tensor::{FloatDType, Tensor};

use crate::error::AttackError;
use crate::model::classifier::Classifier;
use crate::model::precision::Precision;

/// A forward pass that can be differentiated once with respect to its images.
pub(crate) struct Tracked {
    images: Tensor<4>,
    logits: Tensor<2>,
    precision: Precision,
}

impl Tracked {
    /// Runs the model on tracked images.
    ///
    /// [`Tracked::gradient`] must be called afterwards, because Burn keeps the memory of a forward pass until then.
    pub(crate) fn forward(victim: &dyn Classifier, images: Tensor<4>) -> Result<Self, AttackError> {
        let images = images.inner().autodiff().require_grad();
        // A model in half precision may return such logits; the cotangents are in single precision.
        let logits = victim.logits(images.clone()).cast(FloatDType::F32);
        if !logits.is_tracked() {
            return Err(AttackError::NoGradient);
        }
        Ok(Self { images, logits, precision: victim.gradient_precision() })
    }

    /// The logits without their autodiff history.
    pub(crate) fn logits(&self) -> Tensor<2> {
        self.logits.clone().inner()
    }

    /// The gradient of `Σ logits · cotangents` with respect to the images, on the device without autodiff.
    pub(crate) fn gradient(self, cotangents: Tensor<2>) -> Result<Tensor<4>, AttackError> {
        let (cotangents, scale) = match self.precision {
            Precision::F16 => {
                let largest = cotangents.clone().inner().abs().max_dim(1);
                let scale = largest.clone().mask_fill(largest.equal_elem(0.0), 1.0);
                (cotangents / scale.clone(), Some(scale))
            }
            Precision::F32 | Precision::Bf16 => (cotangents, None),
        };
        let mut gradients = (self.logits * cotangents.inner().autodiff()).sum().backward();
        let gradient = self.images.grad_remove(&mut gradients).ok_or(AttackError::NoGradient)?;
        Ok(match scale {
            Some(scale) => gradient * scale.reshape([-1, 1, 1, 1]),
            None => gradient,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradient_of_a_square_is_twice_the_input() {
        let device = Device::flex();
        let images = Tensor::<4>::from_floats([[[[0.25, 0.5]]]], &device);
        let victim = |x: Tensor<4>| (x.clone() * x).flatten::<2>(1, 3);
        let tracked = Tracked::forward(&victim, images).unwrap();
        let gradient = tracked.gradient(Tensor::from_floats([[1.0, -2.0]], &device)).unwrap();
        assert_eq!(gradient.into_data_as::<f32>().try_into_vec::<f32>().unwrap(), [0.5, -2.0]);
    }

    #[test]
    fn logits_may_be_in_half_precision() {
        let device = Device::flex();
        let images = Tensor::<4>::from_floats([[[[0.25, 0.5]]]], &device);
        let victim = |x: Tensor<4>| (x.clone() * x).flatten::<2>(1, 3).cast(FloatDType::BF16);
        let tracked = Tracked::forward(&victim, images).unwrap();
        let gradient = tracked.gradient(Tensor::from_floats([[1.0, -2.0]], &device)).unwrap();
        assert_eq!(gradient.into_data_as::<f32>().try_into_vec::<f32>().unwrap(), [0.5, -2.0]);
    }

    #[test]
    fn a_detached_model_is_named() {
        let images = Tensor::<4>::zeros([1, 1, 1, 2], &Device::flex());
        let victim = |x: Tensor<4>| x.inner().flatten::<2>(1, 3);
        assert!(matches!(Tracked::forward(&victim, images), Err(AttackError::NoGradient)));
    }
}
