use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
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

/// Options of a training and its evaluation.
#[derive(Args, Clone, Debug)]
pub struct TrainingOptions {
    /// A .toml or .json file with settings of the training only, or of the whole experiment. Options and --set override it.
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    pub config: Option<PathBuf>,

    /// One setting, by its name in a configuration file, with dots for tables, such as ema_decay=0.999, schedule.kind=cosine,
    /// adversary.step_size=2/255 or evaluation.steps=50. Overrides --config.
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Settings")]
    pub settings: Vec<String>,

    /// Print the effective settings and their sources, and exit.
    #[arg(long, help_heading = "Settings")]
    pub show_config: bool,

    /// Data to train on: builtin, builtin:source, mnist:DIR, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR, folder:DIR, archives with their
    /// published splits (caltech256:DIR, cub200:DIR, dogs:DIR, dtd:DIR and dtd@2:DIR to dtd@10:DIR, gtsrb:DIR, pets:DIR), or list:FILE,
    /// whose lines hold an image, its class, and train, val or test, separated by tabs. If a folder has the sub-folders train, val and
    /// test, val is used for validation; if it has no such sub-folders, a fifth of its images is held out as the test set [default:
    /// builtin].
    #[arg(long, help_heading = "Images")]
    pub data: Option<DataSource>,

    /// Augmentation of training images [default: crop for letters and digits, imagenet with --preprocessing, cifar otherwise].
    #[arg(long, value_parser = EnumValueParser::<AugmentationChoice>::new(), help_heading = "Images")]
    pub augmentation: Option<AugmentationChoice>,

    /// Fraction of the training images held out to choose the best checkpoint, or none, which makes the last checkpoint the result. If the
    /// data has its own validation part, that part is used, and a fraction is refused; none leaves the part out. With
    /// --set validation.groups=prefix:_, images of a class whose file names are equal up to the first _, such as the frames of one
    /// recording, stay on the same side of the split [default: 0.1; none with a --preset].
    #[arg(long, value_name = "FRACTION", value_parser = validation_fraction, help_heading = "Images")]
    pub validation: Option<HeldOutFraction>,

    /// Method; docs/training.md has the equations
    #[arg(long, help_heading = "Training")]
    pub method: Option<Method>,

    /// Epochs [default: the paper's 60; 10 on the built-in data].
    #[arg(long, help_heading = "Training")]
    pub epochs: Option<usize>,

    /// Largest number of images per step; each epoch is divided into batches of nearly equal size [default: the paper's 128; 64 on the
    /// built-in data].
    #[arg(long, help_heading = "Training")]
    pub batch_size: Option<usize>,

    /// Use full batches only: images that do not fill a batch are skipped, different ones in every epoch.
    #[arg(long, help_heading = "Training")]
    pub drop_last: bool,

    /// Number of micro-batches into which each batch is split; they are computed one after the other to save memory [default: 1].
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub accumulate: Option<usize>,

    /// Average the running statistics of all devices after every step; by default, each device keeps its own.
    #[arg(long, help_heading = "Training")]
    pub sync_statistics: bool,

    /// Learning rate, divided by ten after 1/2 and 5/6 of the epochs (auto-lora: halved when the validation robust
    /// accuracy stops rising) [default: the paper's 0.003; 0.1 on the built-in data].
    #[arg(long, help_heading = "Training")]
    pub lr: Option<f64>,

    /// Weight decay [default: the paper's 1e-5].
    #[arg(long, help_heading = "Training")]
    pub weight_decay: Option<f64>,

    /// Weight of the frozen wing's loss (TWINS) [default: 1; 0.3 on the built-in data].
    #[arg(long, help_heading = "Training")]
    pub lambda: Option<f64>,

    /// Weight of the KL term (TRADES, MART) [default: 6].
    #[arg(long, help_heading = "Training")]
    pub beta: Option<f64>,

    /// Use adversarial weight perturbation, with any method; the value is the size of the perturbation as a fraction of each weight's norm,
    /// such as 0.01 [default: none].
    #[arg(long, value_name = "GAMMA", help_heading = "Training")]
    pub awp: Option<f64>,

    /// Radius of the threat model on the [0, 1] scale: a fraction such as 8/255, or a number. Validation and test use the same radius
    /// unless validation.protocol.threat is set [default: the paper's 8/255; 4/255 on the built-in data].
    #[arg(long, value_parser = |text: &str| text.parse::<Length>().map(f64::from), help_heading = "Training's adversary")]
    pub epsilon: Option<f64>,

    /// Number of attack steps [default: the paper's 10; 5 on the built-in data].
    #[arg(long, alias = "steps", value_name = "N", help_heading = "Training's adversary")]
    pub attack_steps: Option<usize>,

    /// Step size of the attack on the [0, 1] scale: a fraction such as 2/255, or a number [default: a quarter of epsilon].
    #[arg(long, value_parser = |text: &str| text.parse::<Length>().map(f64::from), help_heading = "Training's adversary")]
    pub step_size: Option<f64>,

    /// Precision of the training's forward and backward passes: f32, or bf16 if the device supports it; weights, batch normalisation and
    /// losses stay in f32 [default: f32].
    #[arg(long, help_heading = "Training")]
    pub precision: Option<Precision>,

    /// Precision of the attack's forward and backward passes: f32, bf16 or f16, if the device supports it [default: f32].
    #[arg(long, help_heading = "Training's adversary")]
    pub attack_precision: Option<Precision>,

    /// Test images for the final evaluation with standard AutoAttack: none, all, N (each class in proportion) or first:N [default: none].
    #[arg(long, value_name = "IMAGES", help_heading = "Measurement")]
    pub autoattack: Option<AutoAttackImages>,

    /// Number of test images for the report's attacks and its curve of accuracy against epsilon, each class in proportion; 0 omits both
    /// [default: 200; 100 on the built-in data].
    #[arg(long, value_name = "N", help_heading = "Measurement")]
    pub report_images: Option<usize>,

    /// Attacks of the report, comma-separated [default: fgsm,apgd-ce].
    #[arg(long, value_parser = EnumValueParser::<ReportAttackChoice>::new(), value_delimiter = ',', help_heading = "Measurement")]
    pub report_attacks: Vec<ReportAttackChoice>,

    /// Directory for checkpoints, metrics and the report [default: the first unused runs/COMMAND-N].
    #[arg(long, help_heading = "Run")]
    pub out: Option<PathBuf>,

    /// Resume the run in --out. --epochs may be larger than before; the schedule of the run does not change.
    #[arg(long, requires = "out", help_heading = "Run")]
    pub resume: bool,

    /// Delete the run in --out and start anew.
    #[arg(long, requires = "out", conflicts_with = "resume", help_heading = "Run")]
    pub force: bool,

    /// Formats in which to log the values of every step and epoch, separated by commas: jsonl, csv, tensorboard. The files are in the
    /// folder log of the run's directory [default: none].
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', help_heading = "Run")]
    pub log: Vec<ObserverKind>,

    /// Set by Ctrl-C and SIGTERM: training then finishes the current step and saves its state.
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
    /// Adds the settings of the file, of `--set` and of the options to a draft. `own` holds the settings of the command's own options.
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

    /// How an existing run in `--out` is handled.
    pub fn existing(&self) -> ExistingRun {
        match (self.resume, self.force) {
            (true, _) => ExistingRun::Resume,
            (_, true) => ExistingRun::Overwrite,
            _ => ExistingRun::Refuse,
        }
    }

    /// The output directory of a command. Without `--out`, it is created.
    pub fn directory(&self, command: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| unused(Path::new("runs"), command))
    }
}

/// Creates the first directory `COMMAND-N` that does not exist, so that commands that start at the same time do not share one.
fn unused(runs: &Path, command: &str) -> PathBuf {
    let exists =
        |path: &Path| fs::create_dir(path).is_err_and(|error| error.kind() == ErrorKind::AlreadyExists);
    // The run reports a directory that cannot be created.
    let _ = fs::create_dir_all(runs);
    let mut paths = (1..).map(|number| runs.join(format!("{command}-{number}")));
    paths.find(|path| !exists(path)).expect("some number is unused")
}

/// The value of `--validation`; `None` for `none`.
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

/// An augmentation, selected by name.
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

/// An attack of the report, selected by name.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_commands_without_out_have_a_directory_each() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        for name in ["finetune-1", "finetune-2"] {
            assert_eq!(unused(&runs, "finetune"), runs.join(name));
        }
        fs::remove_dir(runs.join("finetune-1")).unwrap();
        fs::write(runs.join("finetune-1"), "a file").unwrap();
        assert_eq!(unused(&runs, "finetune"), runs.join("finetune-3"));
        // Nothing can be created below a file, which is an error of the run.
        let below = runs.join("finetune-1");
        assert_eq!(unused(&below, "train"), below.join("train-1"));
    }
}
