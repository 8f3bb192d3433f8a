//! Fine-tunes an adversarially pre-trained classifier.
//!
//! Without arguments it runs the main job on the built-in data: a small net is pre-trained adversarially on
//! letters and fine-tuned on digits, once with adversarial training and once with TWINS-AT.
//!
//! ```sh
//! cargo run --release --example finetune
//! cargo run --release --example finetune -- --weights cifar_resnet20.th --arch resnet20 \
//!     --data folder:images --method twins-at --epochs 2 --out runs/images
//! ```

mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn_twins::attack::{Norm, Start};
use burn_twins::data::{Augmentation, DataSource, Framing, ImageDataset, Part, Task};
use burn_twins::models::{Architecture, ModelCard, ModelConfig, Net, save_model};
use burn_twins::nn::TwinsModule;
use burn_twins::train::{
    AdversaryConfig, AwpConfig, Ended, Evaluation, ExistingRun, Method, Schedule, TrainConfig, TrainError,
    Trained, Trainer, ValidationConfig, evaluate,
};
use clap::{Parser, ValueEnum};
use serde::Serialize;
use signal_hook::consts::SIGINT;
use signal_hook::flag;
use support::images::{ImageArguments, InputArguments};
use support::{Common, Outcome, open_data, write_atomically};

/// Fine-tunes an adversarially pre-trained classifier; without --weights, pre-trains one first.
#[derive(Parser, Debug)]
struct Cli {
    #[command(flatten)]
    common: Common,

    /// Pre-trained weights: PyTorch (.pt, .pth, .th, .ckpt), safetensors, or a model saved by this program.
    /// Without them a small net is pre-trained on the built-in source task.
    #[arg(long)]
    weights: Option<PathBuf>,

    /// Architecture of the weights.
    #[arg(long, requires = "weights")]
    arch: Option<Architecture>,

    /// Data to fine-tune on: builtin, mnist:DIR, cifar10:DIR, cifar100:DIR or folder:DIR.
    #[arg(long, default_value = "builtin")]
    data: DataSource,

    #[command(flatten)]
    images: ImageArguments,

    #[command(flatten)]
    input: InputArguments,

    /// Random changes to training images [default: crop for letters and digits, imagenet with a --framing, cifar
    /// otherwise].
    #[arg(long, value_enum)]
    augmentation: Option<AugmentationName>,

    /// Use the first N training images and the first N test images.
    #[arg(long)]
    limit: Option<usize>,

    /// Method: at, trades, mart, auto-lora, twins-at, twins-trades or standard. Without --weights both at and twins-at
    /// are run.
    #[arg(long)]
    method: Option<Method>,

    /// Epochs of fine-tuning [default: the paper's 60; 4 on the built-in data].
    #[arg(long)]
    epochs: Option<usize>,

    /// Images per step [default: the paper's 128; 64 on the built-in data].
    #[arg(long)]
    batch_size: Option<usize>,

    /// Learning rate, divided by ten after 1/2 and 5/6 of the epochs (auto-lora: halved when the validation robust
    /// accuracy stops rising) [default: the paper's 0.003; 0.02 on the built-in data].
    #[arg(long)]
    lr: Option<f64>,

    /// Weight decay [default: the paper's 1e-5].
    #[arg(long)]
    weight_decay: Option<f64>,

    /// Weight of the frozen wing's loss (TWINS).
    #[arg(long, default_value_t = 1.0)]
    lambda: f64,

    /// Weight of the KL term (TRADES, MART).
    #[arg(long, default_value_t = 6.0)]
    beta: f64,

    /// Adversarial weight perturbation with any method: its length as a fraction of each weight's norm, such as 0.01
    /// [default: none].
    #[arg(long, value_name = "GAMMA")]
    awp: Option<f64>,

    /// Radius of the adversary's Linf ball, on the [0, 1] scale [default: the paper's 8/255; 4/255 on the built-in
    /// data].
    #[arg(long)]
    epsilon: Option<f64>,

    /// Steps of the adversary [default: the paper's 10; 2 on the built-in data].
    #[arg(long)]
    steps: Option<usize>,

    /// Length of the adversary's steps, on the [0, 1] scale [default: a quarter of epsilon, as the paper's; 5/8 of it
    /// on the built-in data].
    #[arg(long)]
    step_size: Option<f64>,

    /// Folder for checkpoints, metrics and the report [default: the first unused runs/finetune-N].
    #[arg(long)]
    out: Option<PathBuf>,

    /// Continue the run in --out where it ended.
    #[arg(long, requires = "out")]
    resume: bool,

    /// Delete the run in --out and start anew.
    #[arg(long, requires = "out", conflicts_with = "resume")]
    force: bool,

    /// Raised by Ctrl-C: the step under way is finished and the state saved.
    #[arg(skip)]
    stop: Arc<AtomicBool>,
}

/// Random changes to training images, with torchvision's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AugmentationName {
    /// None.
    None,
    /// Crops with 2 pixels of padding.
    Crop,
    /// Crops with 4 pixels of padding, and flips.
    Cifar,
    /// Resized crops of 8 % to 100 % of the stored image, and flips.
    Imagenet,
}

/// Steps of the PGD that measures robust accuracy on the test images.
const TEST_STEPS: usize = 20;

/// The built-in job's net and lengths, chosen to take two to three minutes on two cores.
mod builtin {
    pub const ARCH: burn_twins::models::Architecture = burn_twins::models::Architecture::TinyResNet;
    pub const PRETRAIN_IMAGES: usize = 4_000;
    pub const PRETRAIN_EPOCHS: usize = 5;
    pub const PRETRAIN_LR: f64 = 0.1;
    pub const TRAIN_IMAGES: usize = 2_000;
    pub const TEST_IMAGES: usize = 500;
    pub const EPOCHS: usize = 4;
    pub const BATCH: usize = 64;
    pub const LR: f64 = 0.02;
    /// The paper's models were pre-trained within 4/255.
    pub const EPSILON: f64 = 4.0 / 255.0;
    /// With a random start, two steps of 5/8 epsilon train about as well as many short ones.
    pub const STEPS: usize = 2;
    pub const STEP_SHARE: f64 = 0.625;
}

#[derive(Serialize)]
struct Row {
    method: Method,
    best_epoch: Option<usize>,
    test: Evaluation,
    seconds: f64,
}

#[derive(Serialize)]
struct Report<'a> {
    data: &'a DataSource,
    arch: Architecture,
    weights: Option<&'a Path>,
    config: &'a TrainConfig,
    results: &'a [Row],
}

fn main() -> ExitCode {
    support::exit(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Outcome {
    // The first Ctrl-C asks for an end after the step, the second ends at once: checkpoints are written atomically.
    flag::register_conditional_shutdown(SIGINT, 130, cli.stop.clone())?;
    flag::register(SIGINT, cli.stop.clone())?;
    let device = cli.common.open()?;
    let config = cli.config();
    config.validate()?;
    let out = cli.out.clone().unwrap_or_else(unused_folder);
    let limit = |builtin| cli.limit.or(cli.is_builtin().then_some(builtin));
    let train = cli.images.open(&cli.data, Part::Train, limit(builtin::TRAIN_IMAGES), None)?;
    let test = cli.images.open(&cli.data, Part::Test, limit(builtin::TEST_IMAGES), None)?;
    let classes = train.classes().to_vec();

    let pretrained = match &cli.weights {
        Some(weights) => {
            let arch = cli.arch.ok_or("--weights needs --arch: the architecture that the weights are of")?;
            cli.input.load(weights, arch, train.as_ref(), &device)?
        }
        None => pretrain(cli, &config, &out, &device)?,
    };
    let pretrained = pretrained.with_new_head(classes.len(), cli.common.seed)?;

    let methods = match cli.method {
        Some(method) => vec![method],
        None if cli.weights.is_some() => vec![Method::TwinsAt],
        None => vec![Method::At, Method::TwinsAt],
    };
    let mut results = Vec::new();
    for method in methods {
        let config = TrainConfig { method, ..config.clone() };
        let folder = out.join(method.name());
        println!(
            "fine-tuning on {} with {method}: {} images, {} epochs",
            cli.data,
            train.len(),
            config.epochs
        );
        let begin = std::time::Instant::now();
        let trained = fit(cli, &config, pretrained.clone(), &train, &folder)?;
        let test = measure(&trained.best, &test, &config)?;
        save_model(
            folder.join("model.safetensors"),
            &trained.best,
            &ModelCard::new(&trained.best, classes.clone())?,
        )?;
        let best_epoch = trained.best_epoch.map(|best| best.epoch);
        results.push(Row { method, best_epoch, test, seconds: begin.elapsed().as_secs_f64() });
    }

    print_table(&results, &config, test.len());
    let report = Report {
        data: &cli.data,
        arch: pretrained.architecture(),
        weights: cli.weights.as_deref(),
        config: &config,
        results: &results,
    };
    let path = out.join("report.json");
    write_atomically(&path, serde_json::to_string_pretty(&report)?.as_bytes())?;
    println!("models, metrics and report are in {}", out.display());
    Ok(())
}

impl Cli {
    fn is_builtin(&self) -> bool {
        matches!(self.data, DataSource::Builtin(_)) && self.weights.is_none()
    }

    fn config(&self) -> TrainConfig {
        let paper = TrainConfig::new(Method::TwinsAt);
        let builtin = self.is_builtin();
        let or = |given: Option<f64>, builtin_value: f64, paper_value: f64| {
            given.unwrap_or(if builtin { builtin_value } else { paper_value })
        };
        let epochs = self.epochs.unwrap_or(if builtin { builtin::EPOCHS } else { paper.epochs });
        let epsilon = or(self.epsilon, builtin::EPSILON, paper.adversary.epsilon);
        let step_share = if builtin { builtin::STEP_SHARE } else { 0.25 };
        let adversary = AdversaryConfig::new(
            Norm::Linf,
            epsilon,
            self.steps.unwrap_or(if builtin { builtin::STEPS } else { paper.adversary.steps }),
            self.step_size.unwrap_or(epsilon * step_share),
        );
        let augmentation = self.augmentation.unwrap_or(match self.data {
            // A mirrored letter or digit is another one.
            DataSource::Builtin(_) | DataSource::Mnist(_) => AugmentationName::Crop,
            _ if self.images.framing != Framing::AsStored => AugmentationName::Imagenet,
            _ => AugmentationName::Cifar,
        });
        let augmentation = match augmentation {
            AugmentationName::None => Augmentation::new(),
            AugmentationName::Crop => Augmentation::new().with_crop_padding(2),
            AugmentationName::Cifar => Augmentation::cifar(),
            AugmentationName::Imagenet => Augmentation::imagenet(),
        };
        TrainConfig {
            epochs,
            schedule: match self.method {
                Some(Method::AutoLora) => Schedule::auto_lora(),
                _ => Schedule::paper(epochs),
            },
            batch_size: self.batch_size.unwrap_or(if builtin { builtin::BATCH } else { paper.batch_size }),
            learning_rate: or(self.lr, builtin::LR, paper.learning_rate),
            weight_decay: or(self.weight_decay, paper.weight_decay, paper.weight_decay),
            lambda: self.lambda,
            beta: self.beta,
            awp: self.awp.map(AwpConfig::new),
            seed: self.common.seed,
            validation: ValidationConfig {
                adversary: adversary.clone().with_start(Start::Clean),
                ..paper.validation
            },
            adversary,
            augmentation,
            ..paper
        }
    }
}

/// Adversarial training from scratch on the built-in source task.
fn pretrain(
    cli: &Cli,
    config: &TrainConfig,
    out: &Path,
    device: &burn::tensor::Device,
) -> Result<Net, Box<dyn std::error::Error>> {
    let source = DataSource::Builtin(Task::Source);
    let train = open_data(&source, Part::Train, Some(builtin::PRETRAIN_IMAGES))?;
    let test = open_data(&source, Part::Test, Some(builtin::TEST_IMAGES))?;
    let arch = builtin::ARCH;
    let net = ModelConfig::new(arch, train.classes().len())
        .with_seed(cli.common.seed)
        .init(&device.clone().autodiff())?;
    let config = TrainConfig {
        method: Method::At,
        epochs: builtin::PRETRAIN_EPOCHS,
        schedule: Schedule::paper(builtin::PRETRAIN_EPOCHS),
        learning_rate: builtin::PRETRAIN_LR,
        weight_decay: 5e-4,
        awp: None,
        ..config.clone()
    };
    println!("pre-training {arch} on {source}: {} images, {} epochs", train.len(), config.epochs);
    let trained = fit(cli, &config, net, &train, &out.join("pretrain"))?;
    let Evaluation { clean, robust } = measure(&trained.best, &test, &config)?;
    println!("pre-trained: clean {clean}, PGD-{TEST_STEPS} {}", robust.unwrap_or_default());
    // What the frozen wing keeps is what the pre-training ended with.
    Ok(trained.best.valid().train().copy_adaptive_to_frozen())
}

fn fit(
    cli: &Cli,
    config: &TrainConfig,
    net: Net,
    train: &Arc<dyn ImageDataset>,
    folder: &Path,
) -> Result<Trained<Net>, Box<dyn std::error::Error>> {
    let existing = match (cli.resume, cli.force) {
        (true, _) => ExistingRun::Resume,
        (_, true) => ExistingRun::Overwrite,
        _ => ExistingRun::Refuse,
    };
    let trained = Trainer::new(config.clone())?
        .with_run_directory(folder, existing)
        .with_stop_flag(cli.stop.clone())
        .with_observer(|epoch| {
            println!(
                "  epoch {:>2}: loss {:.4}, validation clean {:.1} %, robust {:.1} %, {:.0} images/s",
                epoch.epoch,
                epoch.loss,
                epoch.validation_clean_accuracy.percent(),
                epoch.validation_robust_accuracy.percent(),
                epoch.images_per_second
            );
        })
        .fit(net, train.clone())
        .map_err(|error| match error {
            TrainError::RunExists { .. } => format!("{error} (--resume, --force)"),
            _ => error.to_string(),
        })?;
    if trained.ended == Ended::Interrupted {
        let out = folder.parent().expect("the method's folder lies in --out");
        return Err(
            format!("stopped, with the state saved; continue with\n    {}", resume_command(out)).into()
        );
    }
    Ok(trained)
}

/// The command line that this run was started with, and what makes it go on.
fn resume_command(out: &Path) -> String {
    let mut words: Vec<String> =
        std::env::args().filter(|word| word != "--resume" && word != "--force").collect();
    if !words.iter().any(|word| word == "--out" || word.starts_with("--out=")) {
        words.extend(["--out".to_owned(), out.display().to_string()]);
    }
    words.push("--resume".to_owned());
    words.join(" ")
}

/// Clean and PGD-20 accuracy on the test images, which nothing before has seen.
fn measure(
    net: &Net,
    test: &Arc<dyn ImageDataset>,
    config: &TrainConfig,
) -> Result<Evaluation, Box<dyn std::error::Error>> {
    let adversary = &config.validation.adversary;
    let attack =
        AdversaryConfig { steps: TEST_STEPS, step_size: adversary.epsilon / 4.0, ..adversary.clone() };
    let attack = attack.build()?;
    Ok(evaluate(net, test, Some(&attack), 100)?)
}

fn print_table(results: &[Row], config: &TrainConfig, images: usize) {
    println!(
        "\n{images} test images, Linf, epsilon {:.5} ({:.1}/255)",
        config.adversary.epsilon,
        config.adversary.epsilon * 255.0
    );
    println!("{:<14} {:>9} {:>9} {:>11} {:>9}", "method", "clean", "PGD-20", "best epoch", "seconds");
    for Row { method, best_epoch, test, seconds } in results {
        println!(
            "{:<14} {:>7.2} % {:>7.2} % {:>11} {:>9.1}",
            method.name(),
            test.clean.percent(),
            test.robust.unwrap_or_default().percent(),
            best_epoch.map_or("-".to_owned(), |epoch| epoch.to_string()),
            seconds
        );
    }
    println!();
}

fn unused_folder() -> PathBuf {
    (1..)
        .map(|number| PathBuf::from(format!("runs/finetune-{number}")))
        .find(|path| !path.exists())
        .expect("some number is unused")
}
