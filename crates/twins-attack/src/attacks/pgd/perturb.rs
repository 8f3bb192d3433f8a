use std::ops::Range;

use burn::tensor::activation::softmax;
use burn::tensor::{FloatDType, Tensor, TensorData};
use rayon::prelude::*;

use super::attack::{DRAWS, Pgd};
use super::config::Start;
use crate::draws::Draws;
use crate::engine::lanes::Lanes;
use crate::engine::targets::Targets;
use crate::error::AttackError;
use crate::losses::loss::Loss;
use crate::model::caller_device::computes_in_caller;
use crate::model::classifier::Classifier;
use crate::model::clean::read_logits;
use crate::model::gradient::Tracked;
use crate::norms::norm::Norm;

impl Pgd {
    /// Computes the last iterate for a training batch. Every sample goes through the same steps as in
    /// [`Attack::run`](crate::Attack::run), on the device and without looking at the results in between.
    ///
    /// With the untargeted cross-entropy or KL loss in Linf or L2, nothing is read back from the device between the
    /// steps (in L2, a Gaussian start is). The settings `returned` and `criterion` have no effect. Neither the images nor the
    /// model are checked. The images must lie in [0, 1], and the model must be in its
    /// inference form, `model.valid()`. On a CPU, parts of at most 16 images are computed in parallel, each on one
    /// core.
    ///
    /// Gradient values that are not finite count as zero. With these losses, an image whose logits are not finite, for
    /// example because they overflow in f16, therefore does not move. The other losses return
    /// [`AttackError::Logits`] for it. In L2, an image does not move either if its gradient is longer than 1.8e19, whose
    /// square overflows.
    ///
    /// `keys` has one number per image. The random start of an image depends on the seed and its key alone, and not on
    /// the batch or on the position in it. It is the start that `Attack::run` draws for a sample with this number. An
    /// evaluation uses the image's index in its data set as the key; training uses different keys at each step. If
    /// there are several targets or restarts, only the first run is made.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use twins_attack::{Norm, PgdConfig, Start, ThreatModel};
    /// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
    /// let images = Tensor::from_floats([[[[0.75, 0.5]]], [[[0.25, 0.5]]]], &Device::flex());
    /// let pgd = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.25)?, 4, 0.125);
    /// let clean = pgd.clone().build()?.perturb(&victim, images.clone(), &[0, 1], &[0, 1])?;
    /// assert_eq!(clean.into_data_as::<f32>().try_into_vec::<f32>().unwrap(), [0.5, 0.75, 0.5, 0.25]);
    ///
    /// let random = pgd.with_start(Start::Uniform).build()?;
    /// let both = random.perturb(&victim, images.clone(), &[0, 1], &[7, 8])?;
    /// let second = random.perturb(&victim, images.narrow(0, 1, 1), &[1], &[8])?;
    /// assert_eq!(second.into_data(), both.narrow(0, 1, 1).into_data());
    /// # Ok::<(), twins_attack::AttackError>(())
    /// ```
    ///
    /// # Shapes
    /// * images: `[batch, channels, height, width]`
    /// * returns: the same, on the device without autodiff
    ///
    /// # Errors
    /// A number of labels or keys that differs from the number of images; a label that is not a class of the model; a
    /// model without gradients, or with another number of rows than images; [`Targets::Given`] or [`Targets::Malt`].
    /// Errors number the images by their position in the batch.
    pub fn perturb(
        &self,
        victim: &(dyn Classifier + Sync),
        images: Tensor<4>,
        labels: &[usize],
        keys: &[u64],
    ) -> Result<Tensor<4>, AttackError> {
        let images = images.inner();
        if images.dims().contains(&0) {
            return Err(AttackError::EmptyBatch);
        }
        for (what, count) in [("labels", labels.len()), ("keys", keys.len())] {
            if count != images.dims()[0] {
                return Err(AttackError::Count { images: images.dims()[0], what, count });
            }
        }
        let parts = self.parts(&images);
        if parts.len() < 2 {
            return self.last_iterate(victim, images, labels, keys);
        }
        let lanes = Lanes::new(rayon::current_num_threads());
        let per_job = parts.len().div_ceil(lanes.count());
        let jobs = parts.chunks(per_job).map(|parts| {
            let images = &images;
            move || {
                let part = |range: &Range<usize>| {
                    let images = images.clone().narrow(0, range.start, range.len());
                    self.last_iterate(victim, images, &labels[range.clone()], &keys[range.clone()])
                };
                parts.iter().map(part).collect::<Result<Vec<_>, _>>()
            }
        });
        let done: Result<Vec<Vec<Tensor<4>>>, AttackError> = lanes.run(jobs.collect()).into_iter().collect();
        match done {
            Ok(parts) => Ok(Tensor::cat(parts.into_iter().flatten().collect(), 0)),
            // Repeats the whole batch, because errors number the images by their position in it.
            Err(_) => self.last_iterate(victim, images, labels, keys),
        }
    }

    /// The parts of a batch that are computed in parallel. Their size does not depend on the number of cores, so the
    /// result does not either. There is only one part on devices that have their own queue, and for a randomised model,
    /// whose random draws depend on the order of the passes.
    fn parts(&self, images: &Tensor<4>) -> Vec<Range<usize>> {
        /// Small enough for the activations of a small network to stay in a core's cache, and large enough for the
        /// overhead of the calls not to matter.
        const IMAGES: usize = 16;
        let count = images.dims()[0];
        let parts = match computes_in_caller(&images.device()) && self.config.eot == 1 {
            true => count.div_ceil(IMAGES),
            false => 1,
        };
        (0..parts).map(|part| part * count / parts..(part + 1) * count / parts).collect()
    }

    fn last_iterate(
        &self,
        victim: &(dyn Classifier + Sync),
        images: Tensor<4>,
        labels: &[usize],
        keys: &[u64],
    ) -> Result<Tensor<4>, AttackError> {
        let config = &self.config;
        let mut cotangents: Option<Cotangents<'_>> = None;
        let mut point = self.starts(&images, keys)?;
        let mut velocity: Option<Tensor<4>> = None;
        for _ in 0..config.steps {
            let mut gradient: Option<Tensor<4>> = None;
            for _ in 0..config.eot {
                let tracked = Tracked::forward(victim, point.clone())?;
                let logits = tracked.logits();
                let known = match cotangents.take() {
                    Some(known) => known,
                    None => Cotangents::new(self, victim, &images, labels, logits.dims())?,
                };
                let one = tracked.gradient(known.at(logits)?)?;
                cotangents = Some(known);
                gradient = Some(match gradient {
                    Some(sum) => sum + one,
                    None => one,
                });
            }
            let mut gradient = gradient.expect("at least one repetition");
            // Where the model is not differentiable, the gradient may be NaN or infinite. Such values carry no
            // information.
            let undefined = gradient.clone().is_finite().bool_not();
            gradient = gradient.mask_fill(undefined, 0.0);
            if config.momentum > 0.0 {
                let length = gradient.clone().abs().sum_dims(&[1, 2, 3]) + 1e-12;
                gradient = gradient / length;
                if let Some(velocity) = velocity.take() {
                    gradient = gradient + velocity * config.momentum;
                }
                velocity = Some(gradient.clone());
            }
            point = self.step(&images, point, gradient)?;
        }
        Ok(point)
    }

    /// `Π(point + step · direction)` on the device.
    fn step(
        &self,
        images: &Tensor<4>,
        point: Tensor<4>,
        gradient: Tensor<4>,
    ) -> Result<Tensor<4>, AttackError> {
        let threat = &self.config.threat;
        let support = self.l1_support(images.dims()[1..].iter().product());
        let direction = threat.steepest_batch(gradient, support)?;
        threat.project_batch(images, point + direction * self.config.step_size)
    }

    fn starts(&self, images: &Tensor<4>, keys: &[u64]) -> Result<Tensor<4>, AttackError> {
        if self.config.start == Start::Clean {
            return Ok(images.clone());
        }
        let (shape, device) = (images.dims(), images.device());
        let row: usize = shape[1..].iter().product();
        let on_device = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, shape), &device);
        let draws = |key: u64| Draws::new(self.config.seed, key, DRAWS, 0);
        // These draws do not depend on the images. The images stay on the device unless the projection has to read
        // them.
        let threat = &self.config.threat;
        if self.config.start == Start::Uniform || threat.norm() == Norm::Linf {
            let offsets: Option<Vec<Vec<f32>>> =
                keys.par_iter().map(|&key| self.offset(row, &mut draws(key))).collect();
            if let Some(offsets) = offsets {
                let points = images.clone() + on_device(offsets.concat());
                return match self.config.start {
                    Start::Uniform => Ok(points.clamp(0.0, 1.0)),
                    _ => threat.project_batch(images, points),
                };
            }
        }
        let mut pixels = images.clone().try_into_vec_as::<f32>()?;
        pixels.par_chunks_mut(row).zip(keys).for_each(|(image, &key)| {
            let start = self.start(image, &mut draws(key));
            image.copy_from_slice(&start);
        });
        Ok(on_device(pixels))
    }
}

/// How the derivative of the loss with respect to the logits is computed.
#[allow(clippy::large_enum_variant, reason = "there is one per batch")]
enum Cotangents<'a> {
    /// `softmax(z) - distribution`: cross-entropy (one-hot) and KL (the clean prediction).
    Softmax(Tensor<2>),
    /// Any loss, computed row by row on the host.
    Rows { loss: Loss, labels: &'a [usize], targets: Vec<Option<usize>> },
}

impl<'a> Cotangents<'a> {
    fn new(
        pgd: &Pgd,
        victim: &(dyn Classifier + Sync),
        images: &Tensor<4>,
        labels: &'a [usize],
        [rows, classes]: [usize; 2],
    ) -> Result<Self, AttackError> {
        let config = &pgd.config;
        if rows != labels.len() {
            return Err(AttackError::LogitRows { rows, images: labels.len() });
        }
        if classes < 2 {
            return Err(AttackError::OneClass { classes });
        }
        if let Some(i) = labels.iter().position(|&label| label >= classes) {
            return Err(AttackError::Label { sample: i as u64, label: labels[i], classes });
        }
        config.loss.check(classes, config.targets != Targets::None)?;
        match (config.targets, config.loss) {
            (_, Loss::Kl) => {
                let clean = victim.logits(images.clone()).inner().cast(FloatDType::F32);
                Ok(Cotangents::Softmax(softmax(clean, 1)))
            }
            (Targets::None, Loss::CrossEntropy) => {
                let mut one_hot = vec![0.0_f32; labels.len() * classes];
                labels.iter().enumerate().for_each(|(i, &label)| one_hot[i * classes + label] = 1.0);
                let one_hot = TensorData::new(one_hot, [labels.len(), classes]);
                Ok(Cotangents::Softmax(Tensor::from_data(one_hot, &images.device())))
            }
            (Targets::None, loss) => Ok(Cotangents::Rows { loss, labels, targets: vec![None; labels.len()] }),
            (targets, loss) => {
                let ids: Vec<u64> = (0..labels.len() as u64).collect();
                let clean = read_logits(victim.logits(images.clone()).inner(), &ids)?;
                let first_run = |(clean, &label): (&[f32], &usize)| targets.of_clean(clean, label, None, 0);
                let targets = clean.chunks(classes).zip(labels).map(first_run).collect::<Result<_, _>>()?;
                Ok(Cotangents::Rows { loss, labels, targets })
            }
        }
    }

    fn at(&self, logits: Tensor<2>) -> Result<Tensor<2>, AttackError> {
        match self {
            Cotangents::Softmax(distribution) => Ok(softmax(logits, 1) - distribution.clone()),
            Cotangents::Rows { loss, labels, targets } => {
                let (shape, device) = (logits.dims(), logits.device());
                let ids: Vec<u64> = (0..labels.len() as u64).collect();
                let logits = read_logits(logits, &ids)?;
                let mut cotangents = vec![0.0; logits.len()];
                let rows = logits
                    .chunks(shape[1])
                    .zip(cotangents.chunks_mut(shape[1]))
                    .zip(labels.iter().zip(targets));
                for ((logits, cotangent), (&label, &target)) in rows {
                    // Only the KL loss uses the clean logits, and it is never computed here.
                    loss.of(label, target, logits)?.evaluate(logits, cotangent);
                }
                Ok(Tensor::from_data(TensorData::new(cotangents, shape), &device))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{Norm, PgdConfig, ThreatModel};

    /// Of more images than one part has: the parts' results in the order of the images, whatever the number of threads.
    #[test]
    fn parts_are_put_together_again() {
        let device = Device::flex();
        let count = 37;
        let pixels: Vec<f32> = (0..count * 4).map(|at| (at * 31 % 100) as f32 / 100.0).collect();
        let images = Tensor::<4>::from_data(TensorData::new(pixels, [count, 1, 2, 2]), &device);
        let labels: Vec<usize> = (0..count).map(|at| at % 4).collect();
        let keys: Vec<u64> = (0..count as u64).collect();
        let victim = |images: Tensor<4>| images.flatten::<2>(1, 3).powi_scalar(2);
        let threat = ThreatModel::new(Norm::Linf, 0.1).unwrap();
        let pgd = PgdConfig::new(threat, 5, 0.03).with_start(Start::Uniform).build().unwrap();
        assert_eq!(pgd.parts(&images).len(), 3);
        let values = |tensor: Tensor<4>| tensor.into_data().try_to_vec::<f32>().unwrap();
        let whole = values(pgd.last_iterate(&victim, images.clone(), &labels, &keys).unwrap());
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| pgd.perturb(&victim, images.clone(), &labels, &keys).unwrap());
            assert_eq!(values(found), whole, "{threads} threads");
        }
        // An error of the last part names the image's place in the batch.
        let wrong: Vec<usize> = (0..count).map(|at| if at == 36 { 4 } else { 0 }).collect();
        let message = pgd.perturb(&victim, images, &wrong, &keys).unwrap_err().to_string();
        assert!(message.contains("36"), "{message}");
    }

    /// Class 0 is the label and the least likely class.
    #[test]
    fn a_misclassified_image_never_moves_towards_its_label() {
        let images = Tensor::<4>::from_floats([[[[0.25, 0.75, 0.5]]]], &Device::flex());
        let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
        let pgd = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.25).unwrap(), 1, 0.125);
        // One step raises the logit of the target and lowers all others.
        for (targets, expected) in [
            (Targets::Rank(2), [0.125, 0.875, 0.375]),
            (Targets::Top(2), [0.125, 0.875, 0.375]),
            (Targets::Rank(3), [0.125, 0.625, 0.625]),
            (Targets::LeastLikely, [0.125, 0.625, 0.625]),
        ] {
            let pgd = pgd.clone().with_targets(targets).build().unwrap();
            let found = pgd.perturb(&victim, images.clone(), &[0], &[0]).unwrap();
            assert_eq!(found.into_data().try_to_vec::<f32>().unwrap(), expected, "{targets:?}");
        }
    }

    #[test]
    fn images_without_values_are_an_empty_batch() {
        let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
        let pgd = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.25).unwrap(), 1, 0.125).build().unwrap();
        for (shape, labels) in [([0_usize, 1, 2, 2], vec![]), ([1, 0, 2, 2], vec![0])] {
            let images = Tensor::<4>::zeros(shape, &Device::flex());
            let keys = vec![0; labels.len()];
            let outcome = pgd.perturb(&victim, images, &labels, &keys);
            assert!(matches!(outcome, Err(AttackError::EmptyBatch)), "{shape:?}");
        }
    }
}
