use std::sync::Arc;

use rayon::prelude::*;

use crate::error::AttackError;
use crate::hash::Hash;
use crate::model::classifier::Classifier;
use crate::model::inference_form::check_plain_pass;
use crate::samples::source::{SampleSource, SampleStream};

/// The model's logits on the clean images. They are the starting point of every attack and are computed once.
#[derive(Debug, Clone)]
pub(crate) struct CleanLogits {
    logits: Vec<f32>,
    classes: usize,
    forwards: u64,
    /// A hash of each image.
    images: Vec<u64>,
}

impl CleanLogits {
    /// Makes one forward pass per sample. It also makes all checks that need the number of classes, and checks that the
    /// model is in its inference form, as far as plain images show it.
    pub(crate) fn compute(victim: &dyn Classifier, samples: &SampleStream<'_>) -> Result<Self, AttackError> {
        let (source, device, len) = (samples.source(), samples.device(), samples.len());
        let (mut logits, mut classes, mut forwards) = (Vec::new(), 0, len as u64);
        let mut hashes = Vec::with_capacity(len);
        for start in (0..len).step_by(samples.batch_size()) {
            let indices: Vec<usize> = (start..len.min(start + samples.batch_size())).collect();
            let images = samples.load_all(&indices)?;
            hashes.par_extend(images.par_iter().map(|image| hash_of(image)));
            let ids: Vec<u64> = indices.iter().map(|&index| source.id(index)).collect();
            let output = victim.logits(samples.upload_to(images.concat(), device));
            classes = output.dims()[1];
            if start == 0 {
                let first = samples.upload_to(images[0].to_vec(), device);
                forwards += check_plain_pass(victim, &output, first, ids[0])?;
            }
            logits.extend(read_logits(output.inner(), &ids)?);
        }
        if classes < 2 {
            return Err(AttackError::OneClass { classes });
        }
        (0..len).try_for_each(|index| check_sample(source, index, classes))?;
        Ok(Self { logits, classes, forwards, images: hashes })
    }

    /// A hash of each image.
    pub(crate) fn images(&self) -> &[u64] {
        &self.images
    }

    /// Checks that images which have been read again are those that the logits belong to.
    pub(crate) fn check_unchanged(
        &self,
        source: &dyn SampleSource,
        indices: &[usize],
        images: &[Arc<[f32]>],
    ) -> Result<(), AttackError> {
        let changed = |&(&index, image): &(&usize, &Arc<[f32]>)| hash_of(image) != self.images[index];
        match indices.par_iter().zip(images).find_first(changed) {
            Some((&index, _)) => Err(AttackError::ImageChanged { sample: source.id(index) }),
            None => Ok(()),
        }
    }

    /// Replaces the logits with those of an earlier call of the same model.
    pub(crate) fn with_logits(self, logits: Vec<f32>) -> Self {
        Self { logits, ..self }
    }

    /// The number of images that were run through the model.
    pub(crate) fn forwards(&self) -> u64 {
        self.forwards
    }

    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    pub(crate) fn row(&self, index: usize) -> &[f32] {
        &self.logits[index * self.classes..(index + 1) * self.classes]
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.logits.chunks(self.classes)
    }
}

fn hash_of(image: &[f32]) -> u64 {
    let mut hash = Hash::new();
    hash.floats(image);
    hash.value()
}

/// Checks what a source says of a sample besides its image.
fn check_sample(source: &dyn SampleSource, index: usize, classes: usize) -> Result<(), AttackError> {
    let (sample, label, target) = (source.id(index), source.label(index), source.target(index));
    if let Some(label) = [Some(label), target].into_iter().flatten().find(|&class| class >= classes) {
        return Err(AttackError::Label { sample, label, classes });
    }
    // The clean image would count as a success of an attack that aims at this class.
    if target == Some(label) {
        return Err(AttackError::TargetIsLabel { sample, label });
    }
    let Some(start) = source.start(index) else { return Ok(()) };
    let expected: usize = source.image_shape().iter().product();
    if start.len() != expected {
        return Err(AttackError::StartLength { sample, expected, found: start.len() });
    }
    match start.iter().find(|value| !value.is_finite()) {
        Some(&value) => Err(AttackError::Start { sample, value }),
        None => Ok(()),
    }
}

/// Reads logits to the host and checks them; `ids` are the numbers of the samples in the batch.
pub(crate) fn read_logits(output: burn::tensor::Tensor<2>, ids: &[u64]) -> Result<Vec<f32>, AttackError> {
    let [rows, classes] = output.dims();
    if rows != ids.len() {
        return Err(AttackError::LogitRows { rows, images: ids.len() });
    }
    let logits = output.try_into_vec_as::<f32>()?;
    match logits.par_iter().with_min_len(4096).position_first(|z| !z.is_finite()) {
        Some(place) => Err(AttackError::Logits { sample: ids[place / classes], value: logits[place] }),
        None => Ok(logits),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::model::classifier::{accuracy, predictions};
    use crate::samples::in_memory::Samples;

    /// Five images in batches of two: the last batch is not full.
    fn samples() -> Samples {
        let rows = [[[[0.9, 0.1]]], [[[0.2, 0.7]]], [[[0.5, 0.5]]], [[[0.1, 0.3]]], [[[0.75, 0.4]]]];
        let samples = Samples::new(Tensor::from_floats(rows, &Device::flex()), vec![0, 0, 0, 1, 1]).unwrap();
        samples.with_ids((10..15).collect()).unwrap().with_batch_size(2).unwrap()
    }

    #[test]
    fn every_sample_has_its_own_prediction() {
        let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
        assert_eq!(predictions(&victim, &samples()).unwrap(), [0, 1, 0, 1, 0]);
        assert_eq!(accuracy(&victim, &samples()).unwrap(), 0.6);
    }

    #[test]
    fn a_logit_that_is_not_finite_is_named_by_the_number_of_its_sample() {
        // 1 / 0 for the first value of the last image.
        let victim = |images: Tensor<4>| (images.flatten::<2>(1, 3) - 0.75).recip();
        let error = predictions(&victim, &samples()).unwrap_err();
        assert!(matches!(error, AttackError::Logits { sample: 14, value: f32::INFINITY }), "{error}");
    }
}
