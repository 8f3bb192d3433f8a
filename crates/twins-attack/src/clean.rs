use rayon::prelude::*;

use crate::inference_form::check_plain_pass;
use crate::{AttackError, Classifier, Samples};

/// The model's logits on the clean images: what every attack starts from, computed once.
#[derive(Debug, Clone)]
pub(crate) struct CleanLogits {
    logits: Vec<f32>,
    classes: usize,
    forwards: u64,
}

impl CleanLogits {
    /// One forward pass per sample, with all the checks that need the number of classes, and that the model is in its
    /// inference form as far as plain images show it.
    pub(crate) fn compute(victim: &dyn Classifier, samples: &Samples) -> Result<Self, AttackError> {
        let (mut logits, mut classes, mut forwards) = (Vec::new(), 0, samples.len() as u64);
        let row = samples.pixels().len() / samples.len();
        for (batch, pixels) in samples.pixels().chunks(samples.batch_size() * row).enumerate() {
            let ids = &samples.ids()[batch * samples.batch_size()..];
            let output = victim.logits(samples.upload(pixels.to_vec()));
            classes = output.dims()[1];
            if batch == 0 {
                let first = samples.upload(pixels[..row].to_vec());
                forwards += check_plain_pass(victim, &output, first, ids[0])?;
            }
            logits.extend(read_logits(output.inner(), &ids[..pixels.len() / row])?);
        }
        if classes < 2 {
            return Err(AttackError::OneClass { classes });
        }
        for (&label, &sample) in samples.labels().iter().zip(samples.ids()) {
            if label >= classes {
                return Err(AttackError::Label { sample, label, classes });
            }
        }
        for (index, &sample) in samples.ids().iter().enumerate() {
            if let Some(label) = samples.target(index).filter(|&target| target >= classes) {
                return Err(AttackError::Label { sample, label, classes });
            }
        }
        Ok(Self { logits, classes, forwards })
    }

    /// The same model's logits of an earlier call in their place.
    pub(crate) fn with_logits(self, logits: Vec<f32>) -> Self {
        Self { logits, ..self }
    }

    /// How many images were run through the model.
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
