use std::path::{Path, PathBuf};

use twins_attack::AttackError;
use twins_data::{DataError, Part};
use twins_files::{one_line, shortened};
use twins_models::ModelError;
use twins_train::TrainError;

use crate::devices::{DeviceError, MemoryError};
use crate::settings::Contradiction;
use crate::study::StudyError;

/// Errors of experiments.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// An error in the settings of the training, in a file of settings, or in the training itself.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An error in the images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A folder without parts has too few images to hold out a test part.
    #[error("{problem}; give {data} more images, or sub-folders train and test")]
    HeldOut {
        /// What is wrong with them.
        #[source]
        problem: DataError,
        /// The data.
        data: String,
    },
    /// An error in the weights or the network.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An error in an attack of the evaluation.
    #[error(transparent)]
    Attack(#[from] AttackError),
    /// An error of a device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A batch does not fit into memory.
    #[error("{0} (compute.memory_check, --no-memory-check)")]
    Memory(#[from] MemoryError),
    /// Two settings exclude each other.
    #[error(transparent)]
    Contradiction(Box<Contradiction>),
    /// An error in a study.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// An error in an arm of a study.
    #[error("arm \"{arm}\": {problem}")]
    Arm {
        /// The arm.
        arm: String,
        /// The error in its settings or in one of its trainings.
        #[source]
        problem: Box<ExperimentError>,
    },
    /// An error in a report.
    #[error(transparent)]
    Report(#[from] twins_report::ReportError),
    /// A number is 0 but must be at least 1.
    #[error("{setting} is 0; give at least 1")]
    Zero {
        /// The setting.
        setting: &'static str,
    },
    /// No device was given.
    #[error("compute.devices (--device) is empty; name at least one device, such as cpu")]
    NoDevices,
    /// Several CPU shards were set for devices other than one CPU.
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
    /// The number of threads can no longer be changed.
    #[error(
        "cannot use {threads} threads (compute.threads, --threads): {problem}; set the same number in every experiment of a process"
    )]
    Threads {
        /// The number.
        threads: usize,
        /// The error of Rayon.
        problem: String,
    },
    /// Neither weights nor an architecture was given.
    #[error(
        "there is no model: give weights (model.weights, --weights), or an architecture (model.arch, --arch) to train from scratch"
    )]
    NoModel,
    /// A setting that applies to a weight file was given without weights.
    #[error(
        "{setting} is of a weight file, but there are no weights (model.weights, --weights); leave it out"
    )]
    NeedsWeights {
        /// The setting.
        setting: &'static str,
    },
    /// Weights of another program were given without an architecture.
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
    /// The classes of the weights differ from those of the data.
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
    /// Test images were chosen for data that has a test part.
    #[error(
        "--test-images is for a folder without sub-folders train and test, but --data {data} has a test part; leave it out"
    )]
    HasTestPart {
        /// The data.
        data: String,
    },
    /// A folder has changed since the model was trained on it.
    #[error(
        "the model was fine-tuned on a folder of {recorded} images and {data} has {found}: which of them it was trained on \
         is not known; give the folder as it was, or --test-images all if the model was trained on none of them"
    )]
    OtherFolder {
        /// The number of images at the time of training.
        recorded: usize,
        /// The current number of images.
        found: usize,
        /// The data.
        data: String,
    },
    /// The directory holds a run, and neither resuming nor overwriting it was requested.
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
    /// The directory holds a run with other settings.
    #[error(
        "{} holds a run with other settings: {}; resume it with its own, delete it (with --force, or in a study its directory), or give \
         another --out",
        .directory.display(), .differences.join("; ")
    )]
    OtherRun {
        /// The directory.
        directory: PathBuf,
        /// Every setting that differs, with both values.
        differences: Vec<String>,
    },
    /// The directory holds a run whose settings cannot be read.
    #[error(
        "cannot read {}: {}; the data and weights of the run in its directory ({found}) are not known; delete it (with \
         --force, or in a study its directory), or give another --out",
        .path.display(), one_line(problem)
    )]
    UnknownRun {
        /// The missing or damaged file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// A file of the run.
        found: String,
    },
    /// Overwriting the run would delete the initial weights.
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
        "{data} has one class, \"{}\", and a classifier needs at least two; give the images of each class a sub-folder of their own",
        shortened(class, 100)
    )]
    OneClass {
        /// The data.
        data: String,
        /// Its class.
        class: String,
    },
    /// The images of two parts of the data differ in size.
    #[error(
        "the {part} images of {data} are {} x {} pixels where the training images are {} x {} (width x height); resize them, or give a \
         preprocessing of image files (data.preprocessing, --preprocessing 256/224)",
        found[2], found[1], expected[2], expected[1]
    )]
    PartSize {
        /// The data.
        data: String,
        /// The part.
        part: Part,
        /// The shape of its images, `[channels, height, width]`.
        found: [usize; 3],
        /// The shape of the training images.
        expected: [usize; 3],
    },
    /// Another process uses the directory.
    #[error("{} is in use by {}; wait for it, or give another --out", .directory.display(), holder(*.process))]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The id of the process, if it is known.
        process: Option<u32>,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}; {}", .path.display(), remedy(action))]
    File {
        /// The operation that failed.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

/// The process that uses a directory, in words.
pub(crate) fn holder(process: Option<u32>) -> String {
    process.map_or("another process".to_owned(), |id| format!("process {id}"))
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
    /// Creates an error of a file.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// Marks the error as that of an arm of a study.
    pub(crate) fn of_arm(self, arm: &str) -> Self {
        Self::Arm { arm: arm.to_owned(), problem: Box::new(self) }
    }
}
