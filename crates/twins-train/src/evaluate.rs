use std::fmt;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use twins_attack::Pgd;
use twins_data::ImageDataset;

use crate::devices::Devices;
use crate::exhaustion::Load;
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
/// [`TrainError::NoParameters`], an error of the data or the attack, or [`TrainError::Device`] for a panic.
pub fn evaluate<M: ImageClassifier>(
    model: &M,
    dataset: &Arc<dyn ImageDataset>,
    attack: Option<&Pgd>,
    batch_size: usize,
) -> Result<Evaluation, TrainError> {
    let device = model.devices().into_iter().next().ok_or(TrainError::NoParameters)?;
    evaluate_with(model, dataset, attack, batch_size, &Devices::new(&[device]))
}

/// [`evaluate`] with the batches divided among several devices, on each of which a copy of the model runs. One device may
/// stand there several times: on a CPU, each then has its share of the cores.
///
/// A batch is one device's, with the random starts that it has on a single device: on equal devices the numbers are those of
/// one.
///
/// # Errors
///
/// Those of [`evaluate`], and [`TrainError::NoDevices`].
pub fn evaluate_on<M: ImageClassifier>(
    model: &M,
    dataset: &Arc<dyn ImageDataset>,
    attack: Option<&Pgd>,
    batch_size: usize,
    devices: &[Device],
) -> Result<Evaluation, TrainError> {
    if devices.is_empty() {
        return Err(TrainError::NoDevices);
    }
    evaluate_with(model, dataset, attack, batch_size, &Devices::new(devices))
}

pub(crate) fn evaluate_with<M: ImageClassifier>(
    model: &M,
    dataset: &Arc<dyn ImageDataset>,
    attack: Option<&Pgd>,
    batch_size: usize,
    devices: &Devices,
) -> Result<Evaluation, TrainError> {
    if batch_size == 0 {
        return Err(TrainError::Zero { name: "batch size" });
    }
    let ids: Vec<usize> = (0..dataset.len()).collect();
    let batches: Vec<&[usize]> = ids.chunks(batch_size).collect();
    let count = devices.list().len().min(batches.len()).max(1);
    let jobs = devices.list()[..count].iter().enumerate().map(|(place, device)| {
        // Every so many-th batch.
        let own = batches.iter().enumerate().skip(place).step_by(count);
        let (numbers, own) = own.map(|(number, ids)| (number as u64, ids.to_vec())).unzip();
        let victim = model.valid().to_device(device);
        let dataset = dataset.clone();
        move || Evaluation::of(&victim, attack, numbers, Loader::start(dataset, own, None, 0, device.clone()))
    });
    let load = Load { batch_size, accumulate: None };
    let parts = devices
        .run(jobs.collect())
        .map_err(|panic| panic.into_error("in an evaluation".into(), load, None))?;
    parts.into_iter().reduce(|whole, part| Ok(whole?.and(part?))).expect("there is a device")
}

impl Evaluation {
    /// Of the batches that a loader gives, which have these numbers.
    fn of<M: ImageClassifier>(
        victim: &M,
        attack: Option<&Pgd>,
        numbers: Vec<u64>,
        mut loader: Loader,
    ) -> Result<Self, TrainError> {
        let logits = |images: Tensor<4>| victim.logits(images);
        let mut clean = Accuracy::default();
        let mut robust = attack.map(|_| Accuracy::default());
        let mut numbers = numbers.into_iter();
        while let (Some(batch), Some(number)) = (loader.next(), numbers.next()) {
            let batch = batch?;
            clean.add(logits(batch.images.clone()), &batch.labels);
            if let (Some(attack), Some(robust)) = (attack, robust.as_mut()) {
                let images = attack.perturb(&logits, batch.images, &batch.labels, key(0, &[number]))?;
                robust.add(logits(images), &batch.labels);
            }
        }
        Ok(Self { clean, robust })
    }

    /// Of the samples of both.
    fn and(self, other: Self) -> Self {
        let sum =
            |a: Accuracy, b: Accuracy| Accuracy { correct: a.correct + b.correct, total: a.total + b.total };
        let robust = self.robust.zip(other.robust).map(|(a, b)| sum(a, b));
        Self { clean: sum(self.clean, other.clean), robust }
    }
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
