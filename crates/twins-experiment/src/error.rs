use std::path::{Path, PathBuf};

use twins_attack::AttackError;
use twins_data::DataError;
use twins_models::ModelError;
use twins_train::TrainError;

use crate::devices::{DeviceError, MemoryError};
use crate::settings::Contradiction;
use crate::study::StudyError;

/// What can go wrong with an experiment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// Settings of the training, a file of settings, or the training itself.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Images of a folder without parts of its own, of which too few can be held out.
    #[error("{problem}; give {data} more images, or sub-folders train and test")]
    HeldOut {
        /// What is wrong with them.
        #[source]
        problem: DataError,
        /// The data.
        data: String,
    },
    /// Weights or the network.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An attack of the evaluation.
    #[error(transparent)]
    Attack(#[from] AttackError),
    /// A device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A batch that does not fit into memory.
    #[error("{0} (compute.memory_check, --no-memory-check)")]
    Memory(#[from] MemoryError),
    /// Settings that exclude each other.
    #[error(transparent)]
    Contradiction(Box<Contradiction>),
    /// A study.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// An arm of a study.
    #[error("arm \"{arm}\": {problem}")]
    Arm {
        /// The arm.
        arm: String,
        /// What is wrong with its settings, or in one of its trainings.
        #[source]
        problem: Box<ExperimentError>,
    },
    /// A report.
    #[error(transparent)]
    Report(#[from] twins_report::ReportError),
    /// A number that has to be at least 1.
    #[error("{setting} is 0; give at least 1")]
    Zero {
        /// The setting.
        setting: &'static str,
    },
    /// No device.
    #[error("compute.devices (--device) is empty; name at least one device, such as cpu")]
    NoDevices,
    /// Shards of something else than one CPU.
    #[error(
        "compute.cpu_shards (--cpu-shards) is {shards}, which divides the cores of one CPU, but the devices are {devices}; leave it \
         out, and name every device, as in --device cuda:0,cuda:1"
    )]
    ShardsOfNoCpu {
        /// The number of shards.
        shards: usize,
        /// The devices.
        devices: String,
    },
    /// The number of threads cannot be set any more.
    #[error(
        "cannot use {threads} threads (compute.threads, --threads): {problem}; set the same number in every experiment of a process"
    )]
    Threads {
        /// The number.
        threads: usize,
        /// What Rayon says.
        problem: String,
    },
    /// Neither weights nor an architecture.
    #[error(
        "there is no model: give weights (model.weights, --weights), or an architecture (model.arch, --arch) to train from scratch"
    )]
    NoModel,
    /// A setting of weights without weights.
    #[error(
        "{setting} is of a weight file, but there are no weights (model.weights, --weights); leave it out"
    )]
    NeedsWeights {
        /// The setting.
        setting: &'static str,
    },
    /// Weights of another program without an architecture.
    #[error(
        "{} does not say its architecture, as model files of this library do: give --arch (model.arch), one of {}",
        .weights.display(), .known.join(", ")
    )]
    NoArchitecture {
        /// The weight file.
        weights: PathBuf,
        /// The known names.
        known: Vec<&'static str>,
    },
    /// Weights for other classes than the data's.
    #[error(
        "{} has {model} classes and the data has {data}: their labels do not mean the same; give the data that the model was \
         trained on",
        .weights.display()
    )]
    OtherClasses {
        /// The weight file.
        weights: PathBuf,
        /// Classes of the model.
        model: usize,
        /// Classes of the data.
        data: usize,
    },
    /// A choice of test images for data that has a test part.
    #[error(
        "--test-images is for a folder without sub-folders train and test, but --data {data} has a test part; leave it out"
    )]
    HasTestPart {
        /// The data.
        data: String,
    },
    /// A folder that has changed since the model was trained on it.
    #[error(
        "the model was fine-tuned on a folder of {recorded} images and {data} has {found}: which of them it was trained on \
         is not known; give the folder as it was, or --test-images all if the model was trained on none of them"
    )]
    OtherFolder {
        /// Images then.
        recorded: usize,
        /// Images now.
        found: usize,
        /// The data.
        data: String,
    },
    /// A directory with a run that is neither to be resumed nor to be deleted.
    #[error(
        "{} holds another run ({found}); resume it with --resume, delete it with --force, or give another --out",
        .directory.display()
    )]
    RunExists {
        /// The directory.
        directory: PathBuf,
        /// A file of the run.
        found: String,
    },
    /// A run of other settings.
    #[error(
        "{} holds a run with other settings: {}; resume it with its own, delete it with --force, or give another --out",
        .directory.display(), .differences.join("; ")
    )]
    OtherRun {
        /// The directory.
        directory: PathBuf,
        /// Every setting that differs, with both values.
        differences: Vec<String>,
    },
    /// A run whose settings are not known.
    #[error(
        "cannot read {}: {problem}; the data and weights of the run in its directory ({found}) are not known; delete it with \
         --force, or give another --out",
        .path.display()
    )]
    UnknownRun {
        /// The missing or damaged file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// A file of the run.
        found: String,
    },
    /// Weights that would be deleted.
    #[error(
        "the weights {} are of the run that --force deletes; give another --out, or copy the weights first",
        .weights.display()
    )]
    WeightsOfRun {
        /// The weight file.
        weights: PathBuf,
    },
    /// Data of a single class.
    #[error(
        "{data} has one class, \"{class}\", and a classifier needs at least two; give the images of each class a sub-folder of their own"
    )]
    OneClass {
        /// The data.
        data: String,
        /// Its class.
        class: String,
    },
    /// Another process has the directory.
    #[error("{} is in use by another process; wait for it, or give another --out", .directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// A file.
    #[error("cannot {action} {}: {source}; {}", .path.display(), remedy(action))]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// What helps where a file cannot be read, or written.
fn remedy(action: &str) -> &'static str {
    match action {
        "read" => "check that it exists and that you may read it",
        _ => "check that the directory exists, is writable and has space",
    }
}

impl From<Contradiction> for ExperimentError {
    fn from(contradiction: Contradiction) -> Self {
        Self::Contradiction(Box::new(contradiction))
    }
}

impl ExperimentError {
    /// Of a file.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// In an arm of a study.
    pub(crate) fn of_arm(self, arm: &str) -> Self {
        Self::Arm { arm: arm.to_owned(), problem: Box::new(self) }
    }
}
