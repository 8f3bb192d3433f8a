use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use twins_attack::{AttackError, Pgd};
use twins_data::ImageDataset;
use twins_nn::ImageClassifier;

use super::devices::Devices;
use super::loader::Loader;
use super::out_of_memory::Load;
use crate::config::EvaluationProtocol;
use crate::error::TrainError;
use crate::metrics::{Accuracy, Evaluation};

/// Measures the clean accuracy of a model and, if a protocol is given, its robust accuracy on the last iterates of the
/// protocol's attack.
///
/// The model runs as `model.valid()`, that is, with the adaptive wing and its running statistics. Batches are prepared
/// in the background. The batch size affects only speed and memory, because the random start of an image depends only
/// on the protocol's seed and the image's index in the data set. The only exception is float rounding inside the model,
/// which may depend on the batch.
///
/// An image with a logit that is NaN or infinite counts as misclassified. An empty data set has the accuracies 0/0.
///
/// ```
/// # use burn::module::Module;
/// # use burn::nn::{Linear, LinearConfig};
/// # use burn::tensor::{Device, Tensor};
/// # use std::sync::Arc;
/// use twins_attack::{Norm, ThreatModel};
/// use twins_data::{BuiltinDataset, ImageDataset, Part, Task};
/// use twins_train::{EvaluationProtocol, ImageClassifier, evaluate};
/// # #[derive(Module, Debug)]
/// # struct Flat { linear: Linear }
/// # impl ImageClassifier for Flat {
/// #     fn logits(&self, images: Tensor<4>) -> Tensor<2> { self.linear.forward(images.flatten(1, 3)) }
/// # }
/// # fn main() -> Result<(), twins_train::TrainError> {
/// # let device = Device::flex();
/// # let model = Flat { linear: LinearConfig::new(3 * 32 * 32, 10).init(&device) };
/// let data: Arc<dyn ImageDataset> = Arc::new(BuiltinDataset::new(Task::Target, Part::Test, 20, 0));
/// let protocol = EvaluationProtocol::new(ThreatModel::new(Norm::Linf, 8.0 / 255.0)?, 20);
/// let evaluation = evaluate(&model, &data, Some(&protocol), 10)?;
/// println!("clean {}, {protocol} {}", evaluation.clean, evaluation.robust.unwrap_or_default());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`TrainError::NoParameters`]; [`AttackError::Label`] for a label that the model has no class for, and
/// [`AttackError::LogitRows`] for another number of rows of logits than images, both as [`TrainError::Attack`]; an error of
/// the data or the protocol; [`TrainError::Device`] for a panic.
pub fn evaluate<M: ImageClassifier>(
    model: &M,
    dataset: &Arc<dyn ImageDataset>,
    protocol: Option<&EvaluationProtocol>,
    batch_size: usize,
) -> Result<Evaluation, TrainError> {
    let device = model.devices().into_iter().next().ok_or(TrainError::NoParameters)?;
    evaluate_with(model, dataset, protocol, batch_size, &Devices::new(&[device]))
}

/// Like [`evaluate`], with the batches distributed among several devices, each of which runs a copy of the model. A
/// device may be listed several times; on a CPU, the cores are then divided equally among the entries.
///
/// Batches are not divided and random starts depend only on the image, so several devices of the same kind give the
/// same result as one.
///
/// # Errors
///
/// The errors of [`evaluate`], and [`TrainError::NoDevices`].
pub fn evaluate_on<M: ImageClassifier>(
    model: &M,
    dataset: &Arc<dyn ImageDataset>,
    protocol: Option<&EvaluationProtocol>,
    batch_size: usize,
    devices: &[Device],
) -> Result<Evaluation, TrainError> {
    if devices.is_empty() {
        return Err(TrainError::NoDevices);
    }
    evaluate_with(model, dataset, protocol, batch_size, &Devices::new(devices))
}

pub(crate) fn evaluate_with<M: ImageClassifier>(
    model: &M,
    dataset: &Arc<dyn ImageDataset>,
    protocol: Option<&EvaluationProtocol>,
    batch_size: usize,
    devices: &Devices,
) -> Result<Evaluation, TrainError> {
    let verdicts = verdicts(model, dataset, protocol, batch_size, devices)?;
    let accuracy = |right: &dyn Fn(&Verdict) -> bool| Accuracy {
        correct: verdicts.iter().filter(|verdict| right(verdict)).count(),
        total: verdicts.len(),
    };
    Ok(Evaluation {
        clean: accuracy(&|verdict| verdict.clean),
        robust: protocol.map(|_| accuracy(&|verdict| verdict.robust == Some(true))),
    })
}

/// Whether one image is classified correctly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    /// On the clean image.
    clean: bool,
    /// On the attack's last iterate; `None` without an attack.
    robust: Option<bool>,
}

/// Computes the verdict on each image. The order of the verdicts depends on the number of devices.
fn verdicts<M: ImageClassifier>(
    model: &M,
    dataset: &Arc<dyn ImageDataset>,
    protocol: Option<&EvaluationProtocol>,
    batch_size: usize,
    devices: &Devices,
) -> Result<Vec<Verdict>, TrainError> {
    if batch_size == 0 {
        return Err(TrainError::Zero { name: "batch size" });
    }
    let attack = protocol.map(EvaluationProtocol::build).transpose()?;
    let attack = attack.as_ref();
    let ids: Vec<usize> = (0..dataset.len()).collect();
    let batches: Vec<&[usize]> = ids.chunks(batch_size).collect();
    let count = devices.list().len().min(batches.len()).max(1);
    let jobs = devices.list()[..count].iter().enumerate().map(|(place, device)| {
        // Batches are distributed round-robin.
        let own = batches.iter().skip(place).step_by(count).map(|ids| ids.to_vec()).collect();
        let victim = model.valid().to_device(device);
        let dataset = dataset.clone();
        move || judge(&victim, attack, Loader::start(dataset, own, None, 0, device.clone()))
    });
    let load = Load { batch_size, micro_batches: None };
    let parts = devices
        .run(jobs.collect())
        .map_err(|panic| panic.into_error("in an evaluation".into(), load, None))?;
    Ok(parts.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
}

/// Computes the verdicts on the batches of a loader.
fn judge<M: ImageClassifier>(
    victim: &M,
    attack: Option<&Pgd>,
    mut loader: Loader,
) -> Result<Vec<Verdict>, TrainError> {
    let logits = |images: Tensor<4>| victim.logits(images);
    let mut verdicts = Vec::new();
    while let Some(batch) = loader.next() {
        let batch = batch?;
        let clean = correct(logits(batch.images.clone()), &batch.labels, &batch.ids)?;
        let robust = match attack {
            Some(attack) => {
                let robust = withstood(victim, attack, batch.images, &batch.labels, &batch.ids)?;
                robust.into_iter().map(Some).collect()
            }
            None => vec![None; clean.len()],
        };
        verdicts.extend(clean.into_iter().zip(robust).map(|(clean, robust)| Verdict { clean, robust }));
    }
    Ok(verdicts)
}

/// Whether the last iterate of each image is classified correctly.
///
/// An attack whose loss is computed on the host returns an error if a logit of any image is not finite. The images of the batch
/// are then attacked one by one, and those with such a logit are wrong.
fn withstood<M: ImageClassifier>(
    victim: &M,
    attack: &Pgd,
    images: Tensor<4>,
    labels: &[usize],
    ids: &[u64],
) -> Result<Vec<bool>, AttackError> {
    let logits = |images: Tensor<4>| victim.logits(images);
    match attack.perturb(&logits, images.clone(), labels, ids) {
        Ok(iterates) => correct(logits(iterates), labels, ids),
        Err(AttackError::Logits { .. }) if labels.len() == 1 => Ok(vec![false]),
        Err(AttackError::Logits { .. }) => {
            let one = |place: usize| {
                let image = images.clone().narrow(0, place, 1);
                withstood(victim, attack, image, &labels[place..=place], &ids[place..=place])
            };
            Ok((0..labels.len()).map(one).collect::<Result<Vec<_>, _>>()?.concat())
        }
        Err(error) => Err(error),
    }
}

/// Whether the largest logit of each row is that of the label. A row with a logit that is not finite is wrong. `ids` are the
/// indices of the images in their data set.
fn correct(logits: Tensor<2>, labels: &[usize], ids: &[u64]) -> Result<Vec<bool>, AttackError> {
    let ([rows, classes], images) = (logits.dims(), labels.len());
    if rows != images {
        return Err(AttackError::LogitRows { rows, images });
    }
    if let Some((&label, &sample)) = labels.iter().zip(ids).find(|(label, _)| **label >= classes) {
        return Err(AttackError::Label { sample, label, classes });
    }
    let undefined = logits.clone().is_finite().all_dim(1).bool_not();
    let predicted = logits.argmax(1).mask_fill(undefined, -1).into_data();
    Ok(predicted.iter::<i64>().zip(labels).map(|(predicted, label)| predicted as usize == *label).collect())
}

#[cfg(test)]
mod tests {
    use burn_dataset::Dataset;
    use twins_attack::{Norm, Start, ThreatModel};
    use twins_data::{DataError, Image, LabelledImage};

    use super::*;
    use crate::two_pixels::TwoPixels;

    /// Images of two pixels, the first of which is brighter by a margin that the index decides.
    struct Margins(Vec<String>);

    impl Dataset<LabelledImage, DataError> for Margins {
        fn get(&self, index: usize) -> Result<LabelledImage, DataError> {
            let image = Image { shape: [1, 1, 2], pixels: vec![128 + index as u8 % 60, 100] };
            Ok(LabelledImage { image, label: 0 })
        }

        fn len(&self) -> usize {
            150
        }
    }

    impl ImageDataset for Margins {
        fn classes(&self) -> &[String] {
            &self.0
        }

        fn image_shape(&self) -> [usize; 3] {
            [1, 1, 2]
        }
    }

    #[test]
    fn random_starts_do_not_depend_on_the_batch_size() {
        let device = Device::flex();
        let model = TwoPixels::new(&device.clone().autodiff());
        let data: Arc<dyn ImageDataset> = Arc::new(Margins(vec!["left".to_owned(), "right".to_owned()]));
        let devices = Devices::new(&[device]);
        // The starts alone, and starts from which one step still leaves some images classified correctly.
        for (epsilon, steps, step_size) in [(0.3, 1, 0.0), (0.2, 1, 0.05)] {
            let threat = ThreatModel::new(Norm::Linf, epsilon).unwrap();
            let protocol =
                EvaluationProtocol::new(threat, steps).with_step_size(step_size).with_start(Start::Uniform);
            let measure =
                |protocol, batch_size| verdicts(&model, &data, Some(protocol), batch_size, &devices).unwrap();
            let reference = measure(&protocol, 64);
            let robust = reference.iter().filter(|verdict| verdict.robust == Some(true)).count();
            assert!((15..135).contains(&robust), "the starts decide little: {robust} of 150");
            assert_eq!(measure(&protocol, 7), reference, "{protocol}");
            assert_ne!(measure(&protocol.clone().with_seed(1), 64), reference, "the seed decides nothing");
        }
    }
}
