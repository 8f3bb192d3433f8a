use burn::tensor::Tensor;

use crate::error::AttackError;
use crate::losses::ranking::argmax;
use crate::model::clean::CleanLogits;
use crate::model::precision::Precision;
use crate::samples::in_memory::Samples;

/// The victim of an attack: a function from images to logits.
///
/// The interface is narrow so that any model can be attacked, whatever its layers. A closure is sufficient. Pass the
/// model in its inference form, `model.valid()`. The attacks call it with tracked images where they need input
/// gradients and with plain images elsewhere, so weight gradients are never computed and running statistics are never
/// updated.
///
/// A model in its training form is refused with [`AttackError::TrainingMode`]. A function cannot be inspected, so the
/// engine detects the training form from the model's outputs. It checks one batch of plain images. Some models train
/// only in gradient passes: those that were created on a device without autodiff and never put into their inference
/// form. To detect these, it also makes a gradient pass over four images (in an evaluation, over the first batch). In
/// Burn, such a pass updates the running statistics of a stock `BatchNorm` once; nothing updates them afterwards.
/// [`Pgd::perturb`](crate::Pgd::perturb) makes no plain passes and cannot detect the training form.
///
/// Attacks call the classifier from several threads at once ([`Samples::with_concurrent_calls`]) and therefore require
/// `Sync`, which Burn's modules implement.
///
/// ```
/// use burn::module::Module;
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{Attack, Norm, PgdConfig, Samples, ThreatModel};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(4, 3).init(&device.clone().autodiff()).valid();
/// let victim = |images: Tensor<4>| model.forward(images.flatten::<2>(1, 3));
///
/// let samples = Samples::new(Tensor::full([2, 1, 2, 2], 0.5, &device), vec![0, 2])?;
/// let fgsm = PgdConfig::fgsm(ThreatModel::new(Norm::Linf, 0.1)?).build()?;
/// let output = fgsm.run(&victim, &samples)?;
/// assert_eq!(output.adversarial.dims(), [2, 1, 2, 2]);
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
pub trait Classifier {
    /// Computes the logits of a batch. Each row must depend on its own image alone.
    ///
    /// # Shapes
    /// * images: `[batch, channels, height, width]`, values in [0, 1]
    /// * returns: `[batch, classes]`, in any floating-point format
    fn logits(&self, images: Tensor<4>) -> Tensor<2>;

    /// The precision in which the model's input gradients are computed. With `f16`, the cotangents of each sample are
    /// scaled to 1 before they enter the model, and the gradients are scaled back, because the gradients of a confident
    /// model are below the range of `f16`.
    fn gradient_precision(&self) -> Precision {
        Precision::F32
    }
}

impl<F: Fn(Tensor<4>) -> Tensor<2>> Classifier for F {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self(images)
    }
}

/// Predicts the class of each sample: the class with the largest logit, and the first one on a tie.
///
/// # Errors
/// As for an attack: logits that are not finite, a wrong number of rows, or labels that are not classes of the model.
pub fn predictions(victim: &dyn Classifier, samples: &Samples) -> Result<Vec<usize>, AttackError> {
    Ok(CleanLogits::compute(victim, &samples.stream())?.rows().map(argmax).collect())
}

/// Computes the fraction of the samples that the model classifies correctly, in [0, 1].
///
/// # Errors
/// The errors of [`predictions`].
pub fn accuracy(victim: &dyn Classifier, samples: &Samples) -> Result<f64, AttackError> {
    let predicted = predictions(victim, samples)?;
    let right = predicted.iter().zip(samples.labels()).filter(|(p, y)| p == y).count();
    Ok(right as f64 / samples.len() as f64)
}
