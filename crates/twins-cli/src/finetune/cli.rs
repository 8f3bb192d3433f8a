//! The command line.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn_twins::attack::{Length, Precision};
use burn_twins::data::{Augmentation, DataSource, Limit};
use burn_twins::models::Architecture;
use burn_twins::train::{FrozenFrom, Method, Preset};
use clap::{Parser, ValueEnum};

use crate::support::Common;
use crate::support::images::{ImageArguments, InputArguments};

/// Fine-tunes an adversarially pre-trained classifier; without --weights, pre-trains one first.
#[derive(Parser, Debug)]
pub struct Cli {
    /// Pre-trained weights: PyTorch (.pt, .pth, .th, .ckpt), safetensors, or a model saved by this program.
    /// Without them a small net is pre-trained on the built-in source task.
    #[arg(long)]
    pub weights: Option<PathBuf>,

    /// Architecture of the weights [default: that of a model file of this library].
    #[arg(long, requires = "weights")]
    pub arch: Option<Architecture>,

    /// Draw a new head even where that of the weights is for the data's classes.
    #[arg(long, requires = "weights")]
    pub new_head: bool,

    /// What the frozen wing starts from: the adaptive wing of the weights, which inference uses, or the frozen wing that the
    /// file holds beside it (model files of this library) [default: weights].
    #[arg(long, requires = "weights", value_name = "weights|file")]
    pub frozen_from: Option<FrozenFrom>,

    /// Data to fine-tune on: builtin, mnist:DIR, cifar10:DIR, cifar100:DIR, folder:DIR, archives with their published splits
    /// (caltech256:DIR, cub200:DIR, dogs:DIR, dtd:DIR, gtsrb:DIR, pets:DIR), or list:FILE with an image, its class and train, val or
    /// test in each line, separated by tabs. A folder with sub-folders train, val and test is validated on val; a fifth of a
    /// folder without sub-folders is held out for the test.
    #[arg(long, default_value = "builtin")]
    pub data: DataSource,

    /// Random changes to training images [default: crop for letters and digits, imagenet with a --framing, cifar
    /// otherwise].
    #[arg(long, value_enum)]
    pub augmentation: Option<AugmentationName>,

    /// Use N images of each part (training, test, and those of the pre-training), each class in proportion, drawn with a fixed seed; first:N uses the first N.
    #[arg(long, value_name = "N|first:N")]
    pub limit: Option<Limit>,

    /// Published setting to start from: paper-cifar or paper-caltech. --config goes over it, and options over both.
    #[arg(long, requires = "weights")]
    pub preset: Option<Preset>,

    /// Settings of the training from a .toml or .json file; options and --set go over them.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// One setting of the training by its name in a configuration file, dotted where it is in a table, such as
    /// ema_decay=0.999, schedule.kind=cosine or adversary.step_size=2/255; goes over --config.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,

    /// Print the effective configuration and where it comes from, and do nothing else.
    #[arg(long)]
    pub show_config: bool,

    /// Method: at, frozen-at, trades, mart, auto-lora, twins-at, twins-trades or standard. Without --weights both at and
    /// twins-at are run.
    #[arg(long)]
    pub method: Option<Method>,

    /// Epochs of fine-tuning [default: the paper's 60; 4 on the built-in data].
    #[arg(long)]
    pub epochs: Option<usize>,

    /// Largest number of images per step; an epoch is divided evenly [default: the paper's 128; 64 on the built-in data].
    #[arg(long)]
    pub batch_size: Option<usize>,

    /// Full batches only: the images that do not fill a batch, other ones in every epoch, are left out of that epoch.
    #[arg(long)]
    pub drop_last: bool,

    /// Micro-batches that a step's images are computed in, one after the other: less memory [default: 1].
    #[arg(long, value_name = "N")]
    pub accumulate: Option<usize>,

    /// Average the running statistics of several devices after every step; each has its own otherwise.
    #[arg(long)]
    pub sync_statistics: bool,

    /// Learning rate, divided by ten after 1/2 and 5/6 of the epochs (auto-lora: halved when the validation robust
    /// accuracy stops rising) [default: the paper's 0.003; 0.02 on the built-in data].
    #[arg(long)]
    pub lr: Option<f64>,

    /// Weight decay [default: the paper's 1e-5].
    #[arg(long)]
    pub weight_decay: Option<f64>,

    /// Weight of the frozen wing's loss (TWINS) [default: 1].
    #[arg(long)]
    pub lambda: Option<f64>,

    /// Weight of the KL term (TRADES, MART) [default: 6].
    #[arg(long)]
    pub beta: Option<f64>,

    /// Adversarial weight perturbation with any method: its length as a fraction of each weight's norm, such as 0.01
    /// [default: none].
    #[arg(long, value_name = "GAMMA")]
    pub awp: Option<f64>,

    /// Radius of the adversary's ball on the [0, 1] scale: a fraction such as 8/255, or a number; validation and test follow
    /// it unless validation.protocol.threat is set [default: the paper's 8/255; 4/255 on the built-in data].
    #[arg(long, value_parser = |text: &str| text.parse::<Length>().map(f64::from))]
    pub epsilon: Option<f64>,

    /// Steps of the adversary [default: the paper's 10; 2 on the built-in data].
    #[arg(long)]
    pub steps: Option<usize>,

    /// Length of the adversary's steps on the [0, 1] scale: a fraction such as 2/255, or a number [default: a quarter
    /// of epsilon, as the paper's; 5/8 of it on the built-in data].
    #[arg(long, value_parser = |text: &str| text.parse::<Length>().map(f64::from))]
    pub step_size: Option<f64>,

    /// What the passes of training's adversary are computed in: f32, bf16 or f16, where the device has it [default: f32].
    #[arg(long)]
    pub attack_precision: Option<Precision>,

    /// Share of the training images that is held out to choose the best checkpoint, or none: the last checkpoint is then
    /// the result. Data with a validation part of its own is validated on that instead, unless none is given [default: 0.1;
    /// none with a --preset].
    #[arg(long, value_name = "FRACTION", value_parser = validation_fraction)]
    pub validation: Option<HeldOutShare>,

    /// Folder for checkpoints, metrics and the report [default: the first unused runs/finetune-N].
    #[arg(long)]
    pub out: Option<PathBuf>,

    /// Test images behind the report's curve of accuracy against epsilon and its attacks, each class in proportion; 0
    /// leaves both out [default: 200; 100 on the built-in data].
    #[arg(long, value_name = "N")]
    pub report_images: Option<usize>,

    /// Attacks of the report, comma-separated.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "fgsm,apgd-ce")]
    pub report_attacks: Vec<ReportAttack>,

    /// Continue the run in --out where it ended. --epochs may be larger than it was; the schedule stays the run's.
    #[arg(long, requires = "out")]
    pub resume: bool,

    /// Delete the run in --out and start anew.
    #[arg(long, requires = "out", conflicts_with = "resume")]
    pub force: bool,

    /// Raised by Ctrl-C: the step under way is finished and the state saved.
    #[arg(skip)]
    pub stop: Arc<AtomicBool>,

    #[command(flatten)]
    pub images: ImageArguments,

    #[command(flatten)]
    pub input: InputArguments,

    #[command(flatten)]
    pub common: Common,
}

/// What `--validation` gives: `None` for none.
#[derive(Clone, Copy, Debug)]
pub struct HeldOutShare(pub Option<f64>);

fn validation_fraction(text: &str) -> Result<HeldOutShare, String> {
    if text == "none" {
        return Ok(HeldOutShare(None));
    }
    let fraction = text.parse().map_err(|_| "give a fraction such as 0.1, or none".to_owned())?;
    Ok(HeldOutShare(Some(fraction)))
}

/// Random changes to training images, with torchvision's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AugmentationName {
    /// None.
    None,
    /// Crops with 2 pixels of padding.
    Crop,
    /// Crops with 4 pixels of padding, and flips.
    Cifar,
    /// Resized crops of 8 % to 100 % of the stored image, and flips.
    Imagenet,
}

impl AugmentationName {
    /// The augmentation of that name.
    pub fn augmentation(self) -> Augmentation {
        match self {
            AugmentationName::None => Augmentation::new(),
            AugmentationName::Crop => Augmentation::new().with_crop_padding(2),
            AugmentationName::Cifar => Augmentation::cifar(),
            AugmentationName::Imagenet => Augmentation::imagenet(),
        }
    }
}

/// Attacks of the report, beside PGD-20.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportAttack {
    /// One step of length epsilon.
    Fgsm,
    /// Auto-PGD on the cross-entropy.
    ApgdCe,
    /// Auto-PGD on the targeted DLR loss.
    ApgdT,
    /// Random search on the logits.
    Square,
}

impl Cli {
    /// Whether this is the main job, which needs nothing from outside.
    pub fn is_builtin(&self) -> bool {
        matches!(self.data, DataSource::Builtin(_)) && self.weights.is_none()
    }

    /// The folder of the run.
    pub fn folder(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(unused_folder)
    }
}

fn unused_folder() -> PathBuf {
    (1..)
        .map(|number| PathBuf::from(format!("runs/finetune-{number}")))
        .find(|path| !path.exists())
        .expect("some number is unused")
}
