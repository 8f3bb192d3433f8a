use burn::tensor::Tensor;

use crate::error::AttackError;
use crate::losses::ranking::argmax;
use crate::model::clean::CleanLogits;
use crate::model::precision::Precision;
use crate::samples::in_memory::Samples;

/// The victim of an attack: a function from images to logits.
///
/// It is this narrow so that any model can be attacked, whatever its layers; a closure will do. Give the model in its
/// inference form, `model.valid()`: the attacks call it with tracked images where they need input gradients and with
/// plain ones where they do not, so that weight gradients are never computed and running statistics never touched.
///
/// A model in its training form is refused with [`AttackError::TrainingMode`]. A function cannot be looked into, so the
/// passes that show it are made: one batch of plain images or, if only gradient passes train (a model that was made on a
/// device without autodiff and never put into its inference form), a gradient pass over four images besides. In Burn such
/// a pass moves the running statistics of a stock `BatchNorm` once; nothing does afterwards.
/// [`Pgd::perturb`](crate::Pgd::perturb), which makes no plain passes, cannot tell.
///
/// Attacks call it from several threads at once ([`Samples::with_concurrent_calls`]) and so ask for `Sync`, which Burn's
/// modules are.
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
    /// The logits of a batch; each row must depend on its own image alone.
    ///
    /// # Shapes
    /// * images: `[batch, channels, height, width]`, values in [0, 1]
    /// * returns: `[batch, classes]`
    fn logits(&self, images: Tensor<4>) -> Tensor<2>;

    /// What the model's input gradients are computed in. With `f16` the cotangents are scaled to 1 before they enter it
    /// and the gradients scaled back, sample by sample, because those of a confident model are below its range.
    fn gradient_precision(&self) -> Precision {
        Precision::F32
    }
}

impl<F: Fn(Tensor<4>) -> Tensor<2>> Classifier for F {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self(images)
    }
}

/// The class with the largest logit of each sample, the first one on a tie.
///
/// # Errors
/// As for an attack: logits that are not finite, a wrong number of rows, labels without a class.
pub fn predictions(victim: &dyn Classifier, samples: &Samples) -> Result<Vec<usize>, AttackError> {
    Ok(CleanLogits::compute(victim, &samples.stream())?.rows().map(argmax).collect())
}

/// The fraction of the samples that the model classifies as labelled, in [0, 1].
///
/// # Errors
/// As [`predictions`].
pub fn accuracy(victim: &dyn Classifier, samples: &Samples) -> Result<f64, AttackError> {
    let predicted = predictions(victim, samples)?;
    let right = predicted.iter().zip(samples.labels()).filter(|(p, y)| p == y).count();
    Ok(right as f64 / samples.len() as f64)
}
