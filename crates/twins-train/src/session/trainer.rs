use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::Module;
use burn::tensor::Device;
use twins_data::{ImageDataset, Limit, Subset};
use twins_nn::{ImageClassifier, TwinsModule, Wing};

use super::observers::Observers;
use super::progress::ProgressDisplay;
use super::running::Session;
use super::trained::Trained;
use crate::checkpoints::{ExistingRun, RunDirectory};
use crate::config::{FrozenFrom, TrainConfig, Tuning};
use crate::data_parallel::{Load, guard};
use crate::error::TrainError;
use crate::metrics::TrainingObserver;
use crate::objectives::{At, MixedPrecision, Objective, TrainingImages, TrainingModel, check_precision};
use crate::random_keys::key;

/// Fine-tunes a classifier.
///
/// Every step attacks the current model (with the adaptive wing, running statistics and input gradients only), computes
/// the objective on the adversarial examples, and makes a step of the configured optimiser ([`Sgd`](crate::Sgd) by
/// default). At the end of every epoch, the trainer measures the model on the validation split, and writes a line of
/// metrics and a checkpoint. Batches are prepared in the background.
///
/// ```
/// # use burn::module::Module;
/// # use burn::nn::{Linear, LinearConfig};
/// # use burn::tensor::{Device, Tensor};
/// # use std::sync::Arc;
/// use twins_attack::Norm;
/// use twins_data::{BuiltinDataset, Part, Task};
/// use twins_train::{AdversaryConfig, Method, TrainConfig, ImageClassifier, Trainer};
/// # #[derive(Module, Debug)]
/// # struct Flat {
/// #     linear: Linear,
/// # }
/// # impl ImageClassifier for Flat {
/// #     fn logits(&self, images: Tensor<4>) -> Tensor<2> {
/// #         self.linear.forward(images.flatten(1, 3))
/// #     }
/// # }
///
/// # fn main() -> Result<(), twins_train::TrainError> {
/// # let device = Device::flex();
/// # let model = Flat { linear: LinearConfig::new(3 * 32 * 32, 10).init(&device) };
/// let data = Arc::new(BuiltinDataset::new(Task::Target, Part::Train, 60, 0));
/// let config = TrainConfig::new(Method::At)
///     .with_epochs(1)
///     .with_batch_size(16)
///     .with_adversary(AdversaryConfig::new(Norm::Linf, 8.0 / 255.0, 2, 4.0 / 255.0));
/// let trained = Trainer::new(config)?.fit(model, data)?;
/// assert_eq!(trained.history.len(), 1);
/// # Ok(())
/// # }
/// ```
pub struct Trainer<M> {
    pub(crate) config: TrainConfig,
    pub(crate) objective: MixedPrecision<Box<dyn Objective<M>>>,
    /// The objective of the probe.
    probe: MixedPrecision<At>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) display: ProgressDisplay,
    pub(crate) observers: Observers,
    devices: Option<Vec<Device>>,
    validation: Option<Arc<dyn ImageDataset>>,
    run: Option<(PathBuf, ExistingRun)>,
}

impl<M: ImageClassifier> Trainer<M> {
    /// Creates a trainer for the configured method.
    ///
    /// # Errors
    ///
    /// The errors of [`TrainConfig::validate`].
    pub fn new(config: TrainConfig) -> Result<Self, TrainError> {
        config.validate()?;
        let objective = MixedPrecision::new(config.method.objective(&config), config.precision);
        let probe = MixedPrecision::new(At, config.precision);
        Ok(Self {
            config,
            objective,
            probe,
            metadata: BTreeMap::new(),
            stop: Arc::default(),
            display: ProgressDisplay::Auto,
            observers: Observers::default(),
            devices: None,
            validation: None,
            run: None,
        })
    }

    /// Trains with a custom objective instead of the configured method's. The probe of
    /// [`Tuning::ProbeThenFull`](crate::Tuning::ProbeThenFull) keeps its own objective.
    #[must_use]
    pub fn with_objective(mut self, objective: impl Objective<M> + 'static) -> Self {
        self.objective.objective = Box::new(objective);
        self
    }

    /// Validates on a separate data set and trains on all training images, independently of `validation.fraction` and
    /// `validation.groups`. Do not pass the test set, because the best checkpoint is selected on this data set. Early stopping
    /// and schedules that follow the robust accuracy follow it on this data set; [`Trainer::new`] refuses them if
    /// `validation.fraction` is none.
    #[must_use]
    pub fn with_validation_set(mut self, validation: Arc<dyn ImageDataset>) -> Self {
        self.validation = Some(validation);
        self
    }

    /// Trains on these devices instead of the model's own. The batch of every step is divided contiguously into one shard per
    /// device. Replicas of the model compute the adversarial examples and the gradients of their shards in parallel. The
    /// first device, which holds the model, sums the gradients and makes the step. The list may contain any devices, and may
    /// contain a device several times; on a CPU, the cores are then divided equally among the entries.
    ///
    /// Batch statistics, the halves of the two wings, and the weight and the pairs of mixup are those of a device's shard. For running statistics, see
    /// [`TrainConfig::sync_statistics`]. The same seed and the same number of devices give bit-identical results. A run may be
    /// resumed with another list of devices; its state, including the best epoch, is kept. Validation is also distributed
    /// among the devices.
    #[must_use]
    pub fn with_devices(mut self, devices: Vec<Device>) -> Self {
        self.devices = Some(devices);
        self
    }

    /// Writes the configuration, metrics and checkpoints to a directory, which is created if it does not exist.
    #[must_use]
    pub fn with_run_directory(mut self, path: impl AsRef<Path>, existing: ExistingRun) -> Self {
        self.run = Some((path.as_ref().to_owned(), existing));
        self
    }

    /// Adds an entry to the metadata of the best checkpoint, for instance the name of the architecture.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Stops training after the step during which the flag becomes true, and saves the state if there is a run directory. Set the flag in a handler of
    /// Ctrl-C, for instance.
    #[must_use]
    pub fn with_stop_flag(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// Sets whether a progress bar is drawn.
    #[must_use]
    pub fn with_progress(mut self, display: ProgressDisplay) -> Self {
        self.display = display;
        self
    }

    /// Adds an observer of steps and epochs, such as [`CsvObserver`](crate::CsvObserver),
    /// [`TensorBoardObserver`](crate::TensorBoardObserver) or a closure that takes `&EpochMetrics`. A trainer may have
    /// several observers.
    #[must_use]
    pub fn with_observer(mut self, observer: impl TrainingObserver + 'static) -> Self {
        self.observers.add(observer);
        self
    }

    /// Trains the model on a data set, except for the images of the validation split if there is one.
    ///
    /// The frozen wing of every two-wing layer starts as a copy of the model's adaptive wing, unless
    /// [`TrainConfig::frozen_from`] keeps the model's own frozen wing. A resumed run keeps the frozen wing of its
    /// checkpoint.
    ///
    /// The running statistics that clones share are copied, so the caller's clones of the model do not change. A
    /// gradient checkpointing strategy of the model's device is not preserved.
    ///
    /// Random draws inside the model, such as those of dropout, come from Burn's generator of the device, which most
    /// backends share across the whole process. The trainer reseeds this generator before every step and every validation,
    /// with a key derived from the configured seed and the position.
    ///
    /// # Errors
    ///
    /// Invalid data or weights, a run directory that already contains a run, an empty list of devices, a panic of the model on an
    /// image of the data's shape, in a step or in a validation ([`TrainError::Device`]), a non-finite loss or gradient, a full
    /// disk. Nothing is written before the data, the model and the directory have been checked.
    pub fn fit(mut self, model: M, dataset: Arc<dyn ImageDataset>) -> Result<Trained<M>, TrainError> {
        let device = model.devices().into_iter().next().ok_or(TrainError::NoParameters)?.inner();
        if self.objective.wing() == Wing::Split && model.num_twins_layers() == 0 {
            return Err(TrainError::NoTwinsLayers);
        }
        if self.devices.as_ref().is_some_and(Vec::is_empty) {
            return Err(TrainError::NoDevices);
        }
        for device in self.devices.as_deref().unwrap_or(std::slice::from_ref(&device)) {
            self.config.attack_precision.check(device)?;
            self.config.precision.check(device)?;
        }
        check_precision(&model, self.config.precision)?;
        let data = self.split_data(dataset)?;
        self.check_classes(&model, &device, &data)?;

        // valid() is called because clones share Burn's running statistics, and the caller's clones of the model must
        // not change.
        let model = model.valid();
        let (model, devices) = match self.devices.take() {
            Some(devices) => (model.to_device(&devices[0].clone().inner()), devices),
            None => (model, vec![device]),
        };
        let model = model.train();
        // A resumed run replaces the frozen wing by that of its checkpoint.
        let model = match self.config.frozen_from {
            FrozenFrom::Weights => model.copy_adaptive_to_frozen(),
            FrozenFrom::File => model,
        };
        let parameters = self.objective.parameters(&model)?.valid().train();
        let model = TrainingModel { model, parameters };
        Session::new(self, model, &devices, data)?.run()
    }

    fn split_data(&self, dataset: Arc<dyn ImageDataset>) -> Result<Data, TrainError> {
        let labels = dataset.labels()?;
        let all = || (0..dataset.len()).collect();
        let (train, validation, validation_labels) = if let Some(validation) = &self.validation {
            let labels = validation.labels()?;
            if labels.is_empty() {
                return Err(TrainError::EmptyValidationSet);
            }
            (all(), Some(validation.clone()), labels)
        } else if let Some(split) = self.config.validation.split(&dataset, &labels)? {
            let held_out = split.validation.iter().map(|id| labels[*id]).collect();
            let subset: Arc<dyn ImageDataset> = Arc::new(Subset::new(dataset.clone(), split.validation)?);
            (split.train, Some(subset), held_out)
        } else {
            (all(), None, Vec::new())
        };
        if train.len() < 2 {
            return Err(TrainError::TooFewImages { images: train.len() });
        }
        let largest_label = labels.iter().chain(&validation_labels).copied().max().unwrap_or(0);
        let parts: Vec<u64> = [&train, &labels, &validation_labels]
            .into_iter()
            .flat_map(|part| std::iter::once(part.len()).chain(part.iter().copied()))
            .map(|value| value as u64)
            .collect();
        let validation = match validation {
            Some(images) => {
                let train_labels: Vec<usize> = train.iter().map(|id| labels[*id]).collect();
                let sample = Limit::Stratified(images.len()).indices(&train_labels);
                let sample = sample.into_iter().map(|index| train[index]).collect();
                Some(Validation { images, train_sample: Arc::new(Subset::new(dataset.clone(), sample)?) })
            }
            None => None,
        };
        let key = key(self.config.seed, &parts);
        Ok(Data { dataset, train, validation, largest_label, key })
    }

    /// Checks that the model takes the images, and that the labels and the losses of the attacks fit its number of classes.
    fn check_classes(&self, model: &M, device: &Device, data: &Data) -> Result<(), TrainError> {
        let classes = classes(model, device, data)?;
        if data.largest_label >= classes {
            return Err(TrainError::LabelOutOfRange { label: data.largest_label, classes });
        }
        let has_probe = matches!(self.config.tuning, Tuning::ProbeThenFull(_));
        if has_probe || self.objective.images() == TrainingImages::Adversarial {
            self.config.adversary.loss.check(classes, false)?;
        }
        if data.validation.is_some() {
            let loss = self.config.validation.protocol.loss;
            loss.check(classes, false).map_err(TrainError::Protocol)?;
        }
        Ok(())
    }

    /// The objective of an epoch: the configured one, or that of the probe. `epoch` counts from 0.
    pub(crate) fn objective_at(&self, epoch: usize) -> &dyn Objective<M> {
        if self.config.phase(epoch).is_probe { &self.probe } else { &self.objective }
    }

    pub(crate) fn open_run(&self) -> Result<Option<RunDirectory>, TrainError> {
        let Some((path, existing)) = &self.run else { return Ok(None) };
        let directory = RunDirectory::open(path, *existing)?;
        if let Some(recorded) = directory.read_config()? {
            let other = |difference| TrainError::OtherConfig { path: path.clone(), difference };
            self.config.check_resumes(&recorded).map_err(other)?;
        }
        Ok(Some(directory))
    }
}

/// The data of a training run.
pub(crate) struct Data {
    pub(crate) dataset: Arc<dyn ImageDataset>,
    pub(crate) train: Vec<usize>,
    /// `None` if no images are held out.
    pub(crate) validation: Option<Validation>,
    largest_label: usize,
    /// A key computed from the labels and the split.
    pub(crate) key: u64,
}

/// The images that are evaluated after every epoch.
pub(crate) struct Validation {
    /// The held-out images.
    pub(crate) images: Arc<dyn ImageDataset>,
    /// The same number of training images, stratified by class. Their clean accuracy shows overfitting.
    pub(crate) train_sample: Arc<dyn ImageDataset>,
}

/// The number of classes, from the logits of one black image of each data set that the model takes, so that the model's trait
/// needs no method for it.
fn classes<M: ImageClassifier>(model: &M, device: &Device, data: &Data) -> Result<usize, TrainError> {
    let model = model.valid();
    let classes_of = |images: &dyn ImageDataset| {
        let [channels, height, width] = images.image_shape();
        let image = burn::tensor::Tensor::zeros([1, channels, height, width], device);
        let work = format!("on an image of shape [{channels}, {height}, {width}], before the first step");
        let load = Load { batch_size: 1, micro_batches: None };
        guard(1, || model.logits(image).dims()[1]).map_err(|panicked| panicked.into_error(work, load, None))
    };
    let classes = classes_of(data.dataset.as_ref())?;
    if let Some(validation) = &data.validation {
        classes_of(validation.images.as_ref())?;
    }
    Ok(classes)
}

impl<M> Trainer<M> {
    pub(crate) fn interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
