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
use crate::config::{FrozenFrom, TrainConfig};
use crate::error::TrainError;
use crate::metrics::TrainingObserver;
use crate::objectives::{At, MixedPrecision, Objective, TrainingModel, check_precision};
use crate::random_keys::key;

/// Fine-tunes a classifier.
///
/// Every step attacks the model as it is (adaptive wing, running statistics, input gradients only), computes the
/// objective on the adversary's images and makes an [`Sgd`](crate::Sgd) step. Every epoch ends with the validation
/// split, a line of metrics and a checkpoint. Batches are prepared in the background.
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
    /// The objective of a probe.
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
    /// A trainer of the configured method.
    ///
    /// # Errors
    ///
    /// Those of [`TrainConfig::validate`].
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
    /// [`Tuning::ProbeThenFull`](crate::Tuning::ProbeThenFull) keeps its own.
    #[must_use]
    pub fn with_objective(mut self, objective: impl Objective<M> + 'static) -> Self {
        self.objective.objective = Box::new(objective);
        self
    }

    /// Validates on a separate data set and trains on all training images, whatever `validation.fraction` and `validation.groups` are. It
    /// must not be the test set: the best checkpoint is chosen on it.
    #[must_use]
    pub fn with_validation_set(mut self, validation: Arc<dyn ImageDataset>) -> Self {
        self.validation = Some(validation);
        self
    }

    /// Trains on these devices instead of the model's own: the batch of every step is divided among them contiguously, copies
    /// of the model make the adversary's images and the gradients of their shares side by side, and the first device, which
    /// holds the model, sums them and makes the step. The list may hold any devices, one of them several times too: on a CPU,
    /// each then has its share of the cores.
    ///
    /// Batch statistics, and the wings' halves, are those of a device's share; for running statistics see
    /// [`TrainConfig::sync_statistics`]. The same seed and number of devices give the same bits, and a run may be resumed with
    /// another list: the best epoch and everything else of it carry over. Validation is shared too.
    #[must_use]
    pub fn with_devices(mut self, devices: Vec<Device>) -> Self {
        self.devices = Some(devices);
        self
    }

    /// Writes configuration, metrics and checkpoints to a directory, which is created where it is missing.
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

    /// Ends the training, with its state saved, after the step during which the flag becomes true. Set it from a handler of
    /// Ctrl-C.
    #[must_use]
    pub fn with_stop_flag(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// Chooses whether a progress bar is drawn.
    #[must_use]
    pub fn with_progress(mut self, display: ProgressDisplay) -> Self {
        self.display = display;
        self
    }

    /// Adds an observer of steps and epochs, such as [`CsvObserver`](crate::CsvObserver),
    /// [`TensorBoardObserver`](crate::TensorBoardObserver) or a closure that takes `&EpochMetrics`. There may be several.
    #[must_use]
    pub fn with_observer(mut self, observer: impl TrainingObserver + 'static) -> Self {
        self.observers.add(observer);
        self
    }

    /// Trains the model on a data set, less the validation split where there is one.
    ///
    /// The frozen wing of every two-wing layer starts equal to the model's adaptive wing, unless
    /// [`TrainConfig::frozen_from`] keeps the model's own. A resumed run keeps the frozen wing that it had.
    ///
    /// The model passed in is not altered through shared running statistics. A gradient checkpointing strategy of its
    /// device is not kept.
    ///
    /// What a model draws itself, as dropout does, comes from Burn's generator of its device, which is the process's on most
    /// backends: it is seeded anew, from the configured seed and the position, before every step and every validation.
    ///
    /// # Errors
    ///
    /// Bad data or weights, an occupied run directory, an empty list of devices, a panic in a step or a validation
    /// ([`TrainError::Device`]), a non-finite loss or gradient, a full disk. Nothing is written before data, model and directory
    /// have been checked.
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
        check_labels(&model, &device, &data)?;

        // Through valid(): clones share Burn's running statistics, and the caller's model is not to change.
        let model = model.valid();
        let (model, devices) = match self.devices.take() {
            Some(devices) => (model.to_device(&devices[0].clone().inner()), devices),
            None => (model, vec![device]),
        };
        let model = model.train();
        // A run that is resumed replaces it by its own.
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
                let fraction = self.config.validation.fraction.unwrap_or_default();
                return Err(TrainError::EmptyValidation { fraction, images: 0 });
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

    /// The objective of an epoch, from 0: the configured one, or the probe's.
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

/// What a training reads.
pub(crate) struct Data {
    pub(crate) dataset: Arc<dyn ImageDataset>,
    pub(crate) train: Vec<usize>,
    /// `None` where no images are held out.
    pub(crate) validation: Option<Validation>,
    largest_label: usize,
    /// Of the labels and the split.
    pub(crate) key: u64,
}

/// What is measured after every epoch.
pub(crate) struct Validation {
    /// The held-out images.
    pub(crate) images: Arc<dyn ImageDataset>,
    /// As many training images, spread evenly: their clean accuracy shows overfitting.
    pub(crate) train_sample: Arc<dyn ImageDataset>,
}

/// Asks the model for the logits of one black image: the number of classes, without a demand on the model's trait.
fn check_labels<M: ImageClassifier>(model: &M, device: &Device, data: &Data) -> Result<(), TrainError> {
    let [channels, height, width] = data.dataset.image_shape();
    let image = burn::tensor::Tensor::zeros([1, channels, height, width], device);
    let classes = model.valid().logits(image).dims()[1];
    match data.largest_label < classes {
        true => Ok(()),
        false => Err(TrainError::LabelOutOfRange { label: data.largest_label, classes }),
    }
}

impl<M> Trainer<M> {
    pub(crate) fn interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
