use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn_twins::attack::{Length, Precision};
use burn_twins::data::DataSource;
use burn_twins::experiment::{
    AugmentationName, AutoAttackImages, Draft, ExperimentError, Layer, ReportAttack,
};
use burn_twins::train::{ExistingRun, Method, ObserverKind};
use clap::builder::{EnumValueParser, PossibleValue};
use clap::{Args, ValueEnum};
use serde::{Serialize, Serializer};

use super::set;
use crate::support::{ComputeOptions, ImageOptions, ModelOptions, OptionSettings};

/// Options of a training and its measurement.
#[derive(Args, Clone, Debug)]
pub struct TrainingOptions {
    /// Settings from a .toml or .json file, of the training alone or of the whole experiment; options and --set go over them.
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    pub config: Option<PathBuf>,

    /// One setting by its name in a configuration file, dotted where it is in a table, such as ema_decay=0.999,
    /// schedule.kind=cosine, adversary.step_size=2/255 or evaluation.steps=50; goes over --config.
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Settings")]
    pub settings: Vec<String>,

    /// Print the effective settings and where they come from, and do nothing else.
    #[arg(long, help_heading = "Settings")]
    pub show_config: bool,

    /// Data to train on: builtin, mnist:DIR, cifar10:DIR, cifar100:DIR, folder:DIR, archives with their published splits
    /// (caltech256:DIR, cub200:DIR, dogs:DIR, dtd:DIR, gtsrb:DIR, pets:DIR), or list:FILE with an image, its class and train, val or
    /// test in each line, separated by tabs. A folder with sub-folders train, val and test is validated on val; a fifth of a
    /// folder without sub-folders is held out for the test [default: builtin].
    #[arg(long, help_heading = "Images")]
    pub data: Option<DataSource>,

    /// Random changes to training images [default: crop for letters and digits, imagenet with a --framing, cifar
    /// otherwise].
    #[arg(long, value_parser = EnumValueParser::<AugmentationChoice>::new(), help_heading = "Images")]
    pub augmentation: Option<AugmentationChoice>,

    /// Fraction of the training images that is held out to choose the best checkpoint, or none: the last checkpoint is then
    /// the result. Data with a validation part of its own is validated on that instead, unless none is given. With
    /// --set validation.groups=prefix:_, images of a class whose file names are equal up to the first _, such as the frames of one
    /// recording, stay on one side [default: 0.1; none with a --preset].
    #[arg(long, value_name = "FRACTION", value_parser = validation_fraction, help_heading = "Images")]
    pub validation: Option<HeldOutFraction>,

    /// Method; docs/training.md has the equations
    #[arg(long, help_heading = "Training")]
    pub method: Option<Method>,

    /// Epochs [default: the paper's 60; 10 on the built-in data].
    #[arg(long, help_heading = "Training")]
    pub epochs: Option<usize>,

    /// Largest number of images per step; an epoch is divided evenly [default: the paper's 128; 64 on the built-in data].
    #[arg(long, help_heading = "Training")]
    pub batch_size: Option<usize>,

    /// Full batches only: the images that do not fill a batch, other ones in every epoch, are left out of that epoch.
    #[arg(long, help_heading = "Training")]
    pub drop_last: bool,

    /// Micro-batches that a step's images are computed in, one after the other: less memory [default: 1].
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub accumulate: Option<usize>,

    /// Average the running statistics of several devices after every step; each has its own otherwise.
    #[arg(long, help_heading = "Training")]
    pub sync_statistics: bool,

    /// Learning rate, divided by ten after 1/2 and 5/6 of the epochs (auto-lora: halved when the validation robust
    /// accuracy stops rising) [default: the paper's 0.003; 0.1 on the built-in data].
    #[arg(long, help_heading = "Training")]
    pub lr: Option<f64>,

    /// Weight decay [default: the paper's 1e-5].
    #[arg(long, help_heading = "Training")]
    pub weight_decay: Option<f64>,

    /// Weight of the frozen wing's loss (TWINS) [default: 1].
    #[arg(long, help_heading = "Training")]
    pub lambda: Option<f64>,

    /// Weight of the KL term (TRADES, MART) [default: 6].
    #[arg(long, help_heading = "Training")]
    pub beta: Option<f64>,

    /// Adversarial weight perturbation with any method: its length as a fraction of each weight's norm, such as 0.01
    /// [default: none].
    #[arg(long, value_name = "GAMMA", help_heading = "Training")]
    pub awp: Option<f64>,

    /// Radius of the adversary's ball on the [0, 1] scale: a fraction such as 8/255, or a number; validation and test follow
    /// it unless validation.protocol.threat is set [default: the paper's 8/255; 4/255 on the built-in data].
    #[arg(long, value_parser = |text: &str| text.parse::<Length>().map(f64::from), help_heading = "Training's adversary")]
    pub epsilon: Option<f64>,

    /// Steps of the adversary [default: the paper's 10; 5 on the built-in data].
    #[arg(long, alias = "steps", value_name = "N", help_heading = "Training's adversary")]
    pub attack_steps: Option<usize>,

    /// Length of the adversary's steps on the [0, 1] scale: a fraction such as 2/255, or a number [default: a quarter
    /// of epsilon].
    #[arg(long, value_parser = |text: &str| text.parse::<Length>().map(f64::from), help_heading = "Training's adversary")]
    pub step_size: Option<f64>,

    /// Precision of the training passes: f32, or bf16 where the device has it; weights, batch normalisation and losses stay in f32
    /// [default: f32].
    #[arg(long, help_heading = "Training")]
    pub precision: Option<Precision>,

    /// Precision of the adversary's passes: f32, bf16 or f16, where the device has it [default: f32].
    #[arg(long, help_heading = "Training's adversary")]
    pub attack_precision: Option<Precision>,

    /// Test images that standard AutoAttack is run on at the end: none, all, N (each class in proportion) or first:N [default: none].
    #[arg(long, value_name = "IMAGES", help_heading = "Measurement")]
    pub autoattack: Option<AutoAttackImages>,

    /// Test images behind the report's curve of accuracy against epsilon and its attacks, each class in proportion; 0
    /// leaves both out [default: 200; 100 on the built-in data].
    #[arg(long, value_name = "N", help_heading = "Measurement")]
    pub report_images: Option<usize>,

    /// Attacks of the report, comma-separated [default: fgsm,apgd-ce].
    #[arg(long, value_parser = EnumValueParser::<ReportAttackChoice>::new(), value_delimiter = ',', help_heading = "Measurement")]
    pub report_attacks: Vec<ReportAttackChoice>,

    /// Directory for checkpoints, metrics and the report [default: the first unused runs/COMMAND-N].
    #[arg(long, help_heading = "Run")]
    pub out: Option<PathBuf>,

    /// Resume the run in --out. --epochs may be larger than it was; the schedule stays the run's.
    #[arg(long, requires = "out", help_heading = "Run")]
    pub resume: bool,

    /// Delete the run in --out and start anew.
    #[arg(long, requires = "out", conflicts_with = "resume", help_heading = "Run")]
    pub force: bool,

    /// Files with the values of every step and epoch, in the folder log of the run's directory: jsonl, csv, tensorboard (several
    /// with commas between them) [default: none].
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', help_heading = "Run")]
    pub log: Vec<ObserverKind>,

    /// Raised by Ctrl-C: the step in progress is finished and the state saved.
    #[arg(skip)]
    pub stop: Arc<AtomicBool>,

    #[command(flatten)]
    pub images: ImageOptions,

    #[command(flatten)]
    pub model: ModelOptions,

    #[command(flatten)]
    pub compute: ComputeOptions,
}

impl TrainingOptions {
    /// Puts the file, `--set` and the options over a draft, with `own` for the settings of the command's own options.
    pub fn over(&self, draft: Draft, mut own: OptionSettings) -> Result<Draft, Box<dyn std::error::Error>> {
        let file = self.config.as_ref().map(Layer::read).transpose()?;
        let set = set::layer(&self.settings)?;
        let draft = file.into_iter().chain(set.clone()).fold(draft, Draft::with_layer);
        self.settings_of_options(&mut own)?;
        Ok(own.over(draft, set.as_ref())?)
    }

    fn settings_of_options(&self, settings: &mut OptionSettings) -> Result<(), ExperimentError> {
        settings.add("--data", "data.source", self.data.as_ref())?;
        let augmentation = self.augmentation.map(|choice| choice.0.augmentation());
        settings.add("--augmentation", "training.augmentation", augmentation)?;
        settings.add("--validation", "training.validation.fraction", self.validation)?;
        settings.add("--method", "training.method", self.method)?;
        settings.add("--epochs", "training.epochs", self.epochs)?;
        settings.add("--batch-size", "training.batch_size", self.batch_size)?;
        settings.add_flag("--drop-last", "training.drop_last", true, self.drop_last)?;
        settings.add("--accumulate", "training.accumulate", self.accumulate)?;
        settings.add_flag("--sync-statistics", "training.sync_statistics", true, self.sync_statistics)?;
        settings.add("--lr", "training.learning_rate", self.lr)?;
        settings.add("--weight-decay", "training.weight_decay", self.weight_decay)?;
        settings.add("--lambda", "training.lambda", self.lambda)?;
        settings.add("--beta", "training.beta", self.beta)?;
        settings.add("--awp", "training.awp.gamma", self.awp)?;
        settings.add("--epsilon", "training.adversary.epsilon", self.epsilon)?;
        settings.add("--attack-steps", "training.adversary.steps", self.attack_steps)?;
        settings.add("--step-size", "training.adversary.step_size", self.step_size)?;
        settings.add("--precision", "training.precision", self.precision)?;
        settings.add("--attack-precision", "training.attack_precision", self.attack_precision)?;
        settings.add("--autoattack", "evaluation.autoattack", self.autoattack)?;
        settings.add("--report-images", "evaluation.report_images", self.report_images)?;
        let attacks: Vec<ReportAttack> = self.report_attacks.iter().map(|choice| choice.0).collect();
        settings.add(
            "--report-attacks",
            "evaluation.report_attacks",
            (!attacks.is_empty()).then_some(attacks),
        )?;
        settings.add("--log", "log.formats", (!self.log.is_empty()).then_some(&self.log))?;
        self.images.settings(settings)?;
        self.model.settings(settings)?;
        self.compute.settings(settings)
    }

    /// What is done with a run in `--out`.
    pub fn existing(&self) -> ExistingRun {
        match (self.resume, self.force) {
            (true, _) => ExistingRun::Resume,
            (_, true) => ExistingRun::Overwrite,
            _ => ExistingRun::Refuse,
        }
    }

    /// The directory of the run of a command.
    pub fn directory(&self, command: &str) -> PathBuf {
        let unused = || {
            let mut paths = (1..).map(|number| PathBuf::from(format!("runs/{command}-{number}")));
            paths.find(|path| !path.exists()).expect("some number is unused")
        };
        self.out.clone().unwrap_or_else(unused)
    }
}

/// What `--validation` gives: `None` for none.
#[derive(Clone, Copy, Debug)]
pub struct HeldOutFraction(Option<f64>);

impl Serialize for HeldOutFraction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(fraction) => serializer.serialize_f64(fraction),
            None => serializer.serialize_str("none"),
        }
    }
}

fn validation_fraction(text: &str) -> Result<HeldOutFraction, String> {
    if text == "none" {
        return Ok(HeldOutFraction(None));
    }
    let fraction = text.parse().map_err(|_| "give a fraction such as 0.1, or none".to_owned())?;
    Ok(HeldOutFraction(Some(fraction)))
}

/// An augmentation by name.
#[derive(Clone, Copy, Debug)]
pub struct AugmentationChoice(AugmentationName);

impl ValueEnum for AugmentationChoice {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [AugmentationChoice; 4] = [
            AugmentationChoice(AugmentationName::None),
            AugmentationChoice(AugmentationName::Crop),
            AugmentationChoice(AugmentationName::Cifar),
            AugmentationChoice(AugmentationName::Imagenet),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self.0 {
            AugmentationName::None => ("none", "None"),
            AugmentationName::Crop => ("crop", "Crops with 2 pixels of padding"),
            AugmentationName::Cifar => ("cifar", "Crops with 4 pixels of padding, and flips"),
            AugmentationName::Imagenet => {
                ("imagenet", "Resized crops of 8 % to 100 % of the stored image, and flips")
            }
        };
        Some(PossibleValue::new(name).help(help))
    }
}

/// An attack of the report by name.
#[derive(Clone, Copy, Debug)]
pub struct ReportAttackChoice(ReportAttack);

impl ValueEnum for ReportAttackChoice {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [ReportAttackChoice; 4] = [
            ReportAttackChoice(ReportAttack::Fgsm),
            ReportAttackChoice(ReportAttack::ApgdCe),
            ReportAttackChoice(ReportAttack::ApgdT),
            ReportAttackChoice(ReportAttack::Square),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self.0 {
            ReportAttack::Fgsm => ("fgsm", "One step of length epsilon"),
            ReportAttack::ApgdCe => ("apgd-ce", "Auto-PGD on the cross-entropy"),
            ReportAttack::ApgdT => ("apgd-t", "Auto-PGD on the targeted DLR loss"),
            ReportAttack::Square => ("square", "Random search on the logits"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}
