use rayon::prelude::*;

use crate::{AttackError, Classifier, Samples};

/// The model's logits on the clean images: what every attack starts from, computed once.
#[derive(Debug, Clone)]
pub(crate) struct CleanLogits {
    logits: Vec<f32>,
    classes: usize,
    tracked: bool,
}

impl CleanLogits {
    /// One forward pass per sample, with all the checks that need the number of classes.
    pub(crate) fn compute(victim: &dyn Classifier, samples: &Samples) -> Result<Self, AttackError> {
        let (mut logits, mut classes, mut tracked) = (Vec::new(), 0, false);
        let row = samples.pixels().len() / samples.len();
        for (batch, pixels) in samples.pixels().chunks(samples.batch_size() * row).enumerate() {
            let ids = &samples.ids()[batch * samples.batch_size()..];
            let output = victim.logits(samples.upload(pixels.to_vec()));
            classes = output.dims()[1];
            tracked |= output.is_tracked();
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
        Ok(Self { logits, classes, tracked })
    }

    /// The same model's logits of an earlier call in their place.
    pub(crate) fn with_logits(self, logits: Vec<f32>) -> Self {
        Self { logits, ..self }
    }

    /// Whether the model tracks its weights, because it is not in its inference form.
    pub(crate) fn tracked(&self) -> bool {
        self.tracked
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
