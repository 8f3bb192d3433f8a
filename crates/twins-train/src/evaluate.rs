use std::fmt;
use std::sync::Arc;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use twins_attack::Pgd;
use twins_data::ImageDataset;

use crate::keys::key;
use crate::loader::Loader;
use crate::{ImageClassifier, TrainError};

/// How many of how many samples were classified correctly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Samples classified correctly.
    pub correct: usize,
    /// Samples.
    pub total: usize,
}

impl Accuracy {
    /// The fraction in [0, 1]; 0 of no samples.
    pub fn fraction(self) -> f64 {
        match self.total {
            0 => 0.0,
            total => self.correct as f64 / total as f64,
        }
    }

    /// The fraction in per cent.
    pub fn percent(self) -> f64 {
        100.0 * self.fraction()
    }
}

impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} % ({} of {})", self.percent(), self.correct, self.total)
    }
}

/// Accuracy of a model on a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// On the images as they are.
    pub clean: Accuracy,
    /// On the last iterate of the attack; `None` where there was none.
    pub robust: Option<Accuracy>,
}

/// Measures clean accuracy and, with an attack, the accuracy on its last iterates.
///
/// The model runs as `model.valid()`: the adaptive wing with running statistics. Batches are prepared in the
/// background. The numbers do not depend on the batch size beyond float rounding.
///
/// # Errors
///
/// [`TrainError::NoParameters`], or an error of the data or the attack.
pub fn evaluate<M: ImageClassifier>(
    model: &M,
    dataset: &Arc<dyn ImageDataset>,
    attack: Option<&Pgd>,
    batch_size: usize,
) -> Result<Evaluation, TrainError> {
    if batch_size == 0 {
        return Err(TrainError::Zero { name: "batch size" });
    }
    let victim = model.valid();
    let device = victim.devices().into_iter().next().ok_or(TrainError::NoParameters)?.inner();
    let ids: Vec<usize> = (0..dataset.len()).collect();
    let batches: Vec<Vec<usize>> = ids.chunks(batch_size).map(<[usize]>::to_vec).collect();
    let mut loader = Loader::start(dataset.clone(), batches, None, 0, device);
    let logits = |images: Tensor<4>| victim.logits(images);

    let mut clean = Accuracy::default();
    let mut robust = attack.map(|_| Accuracy::default());
    let mut index = 0;
    while let Some(batch) = loader.next() {
        let batch = batch?;
        clean.add(logits(batch.images.clone()), &batch.labels);
        if let (Some(attack), Some(robust)) = (attack, robust.as_mut()) {
            let images = attack.perturb(&logits, batch.images, &batch.labels, key(0, &[index]))?;
            robust.add(logits(images), &batch.labels);
        }
        index += 1;
    }
    Ok(Evaluation { clean, robust })
}

impl Accuracy {
    fn add(&mut self, logits: Tensor<2>, labels: &[usize]) {
        let predicted = logits.argmax(1).into_data();
        self.correct += predicted
            .iter::<i64>()
            .zip(labels)
            .filter(|(predicted, label)| *predicted as usize == **label)
            .count();
        self.total += labels.len();
    }
}
