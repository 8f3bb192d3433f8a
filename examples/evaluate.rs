//! Measures a classifier: clean accuracy, then an attack or the AutoAttack ensemble.
//!
//! ```sh
//! cargo run --release --example evaluate -- --weights mnist_pgd_robust.pth --arch mnist-cnn \
//!     --data mnist:DIR --attack pgd --epsilon 0.3 --steps 20 --step-size 0.03 --json report.json
//! cargo run --release --example evaluate -- --weights mnist_pgd_robust.pth --arch mnist-cnn \
//!     --data mnist:DIR --limit 1000 --attack autoattack --epsilon 0.3 --json report.json
//! ```
//!
//! An evaluation by AutoAttack that was killed goes on with `--resume`, to the same report.

mod support;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Tensor;
use burn_twins::DeviceChoice;
use burn_twins::attack::{
    Attack, AttackKind, AutoAttack, AutoAttackConfig, Norm, PgdConfig, Replica, Restarts, Samples, Start,
    ThreatModel, Version, predictions,
};
use burn_twins::data::{DataSource, Part, collate};
use burn_twins::models::Architecture;
use clap::{Parser, ValueEnum};
use serde::Serialize;
use support::images::{ImageArguments, InputArguments, card, check_classes};
use support::journal::Journal;
use support::{Common, Outcome};
use twins_files::write_whole;

/// Measures a classifier's clean and robust accuracy.
#[derive(Parser, Debug)]
struct Cli {
    #[command(flatten)]
    common: Common,

    /// Weights: PyTorch (.pt, .pth, .th, .ckpt), safetensors, or a model that `finetune` saved.
    #[arg(long)]
    weights: PathBuf,

    /// Architecture of the weights.
    #[arg(long)]
    arch: Architecture,

    /// Data: builtin, mnist:DIR, cifar10:DIR, cifar100:DIR or folder:DIR; the test part.
    #[arg(long)]
    data: DataSource,

    #[command(flatten)]
    images: ImageArguments,

    #[command(flatten)]
    input: InputArguments,

    /// Use the first N images.
    #[arg(long)]
    limit: Option<usize>,

    /// Images under attack at a time; on a CPU they are split into a model call for each thread.
    #[arg(long, default_value_t = 200)]
    batch_size: usize,

    /// Shares of the CPU's cores among which AutoAttack, or one of its attacks, divides the images; the report says the
    /// same for every number, and --resume may give another one.
    #[arg(long, default_value_t = 1)]
    devices: usize,

    /// Another device that AutoAttack, or one of its attacks, divides the images with, such as one of another machine; the
    /// report says the same. Give it again for more.
    #[arg(long, value_name = "DEVICE")]
    with_device: Vec<DeviceChoice>,

    /// Attack; `clean` measures clean accuracy alone.
    #[arg(long, value_enum, default_value_t = AttackName::Pgd)]
    attack: AttackName,

    /// Norm of the threat model.
    #[arg(long, default_value = "linf")]
    norm: Norm,

    /// Radius of the threat model, on the [0, 1] scale.
    #[arg(long, default_value_t = 8.0 / 255.0)]
    epsilon: f32,

    /// Attacks of `--attack autoattack`: standard, plus or rand.
    #[arg(long, default_value = "standard")]
    version: Version,

    /// Steps of PGD [default: 20], or of APGD and FAB [default: 100].
    #[arg(long)]
    steps: Option<usize>,

    /// Length of PGD's steps, on the [0, 1] scale [default: a quarter of epsilon].
    #[arg(long)]
    step_size: Option<f32>,

    /// Start PGD at a random point of the ball.
    #[arg(long)]
    random_start: bool,

    /// Runs of an untargeted attack, each from another random start; the worst case counts [default: 1; AutoAttack:
    /// the published numbers].
    #[arg(long)]
    restarts: Option<usize>,

    /// Queries of Square.
    #[arg(long, default_value_t = 5000)]
    queries: usize,

    /// Write the report, with a record of every sample, to this file.
    #[arg(long)]
    json: Option<PathBuf>,

    /// Continue an evaluation by AutoAttack, or one of its attacks, that was killed; needs --json.
    #[arg(long, requires = "json")]
    resume: bool,
}

const PGD_STEPS: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum AttackName {
    Clean,
    Fgsm,
    Pgd,
    ApgdCe,
    ApgdT,
    FabT,
    Square,
    Autoattack,
}

#[derive(Serialize)]
struct Count {
    correct: usize,
    total: usize,
}

#[derive(Serialize)]
struct Stage {
    attack: String,
    robust: usize,
    seconds: f64,
    forwards: u64,
    backwards: u64,
}

#[derive(Serialize)]
struct Sample {
    index: u64,
    label: usize,
    clean_prediction: usize,
    broken_by: Option<String>,
    distance: Option<f32>,
}

#[derive(Serialize)]
struct Config<'a> {
    weights: &'a PathBuf,
    arch: Architecture,
    data: &'a DataSource,
    limit: Option<usize>,
    attack: AttackName,
    norm: Norm,
    epsilon: f32,
    #[serde(flatten)]
    pgd: Option<PgdSettings>,
    seed: u64,
    device: String,
    devices: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    with_devices: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    autoattack: Option<AutoAttackConfig>,
}

#[derive(Serialize)]
struct PgdSettings {
    steps: usize,
    step_size: f32,
    random_start: bool,
    restarts: usize,
}

#[derive(Serialize)]
struct Report<'a> {
    clean: Count,
    stages: Vec<Stage>,
    robust: Count,
    config: Config<'a>,
    samples: Vec<Sample>,
}

fn main() -> ExitCode {
    support::exit(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Outcome {
    if cli.batch_size == 0 {
        return Err("--batch-size is 0; give at least 1".into());
    }
    cli.check_devices()?;
    let device = cli.common.open()?;
    let threat = ThreatModel::new(cli.norm, cli.epsilon)?;
    let ensemble = cli.ensemble(threat).map(AutoAttackConfig::build).transpose()?;
    let step_size = cli.step_size.unwrap_or(cli.epsilon / 4.0);
    let attack = cli.attack(step_size)?;
    let card = card(&cli.weights)?;
    let classes = card.as_ref().and_then(|card| card.class_names());
    let test = cli.images.open(&cli.data, Part::Test, cli.limit, classes)?;
    let net = cli.input.load(&cli.weights, cli.arch, test.as_ref(), &device)?;
    check_classes(card.as_ref(), &cli.weights, &net, test.as_ref())?;
    let net = net.valid();
    let victim = |images: Tensor<4>| net.forward(images);
    if let Some(ensemble) = ensemble {
        let batch = collate(test.as_ref(), &(0..test.len()).collect::<Vec<_>>(), None, &device)?;
        let samples = Samples::new(batch.images, batch.labels)?.with_batch_size(cli.batch_size)?;
        let others = cli.with_device.iter().map(|other| {
            let other = other.open()?;
            let net = cli.input.load(&cli.weights, cli.arch, test.as_ref(), &other)?.valid();
            Ok((net, other))
        });
        let others = others.collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
        let victims: Vec<_> = others.iter().map(|(net, _)| |images: Tensor<4>| net.forward(images)).collect();
        let mut replicas = vec![Replica::new(&victim, device); cli.devices];
        for (victim, (_, device)) in victims.iter().zip(&others) {
            replicas.push(Replica::new(victim, device.clone()));
        }
        return run_ensemble(cli, &ensemble, &replicas, &samples);
    }

    let mut samples = Vec::with_capacity(test.len());
    let mut stage = Stage { attack: String::new(), robust: 0, seconds: 0.0, forwards: 0, backwards: 0 };
    let bar = support::bar(test.len());
    for ids in (0..test.len()).collect::<Vec<_>>().chunks(cli.batch_size) {
        let batch = collate(test.as_ref(), ids, None, &device)?;
        let input =
            Samples::new(batch.images, batch.labels)?.with_ids(batch.ids)?.with_batch_size(cli.batch_size)?;
        let clean = predictions(&victim, &input)?;
        let begin = Instant::now();
        let output = attack.as_ref().map(|attack| attack.run(&victim, &input)).transpose()?;
        stage.seconds += begin.elapsed().as_secs_f64();
        let found = match &output {
            Some(output) => output.adversarial.clone().into_data().try_to_vec::<f32>()?,
            None => Vec::new(),
        };
        let row = found.len() / ids.len();
        if let Some(output) = &output {
            stage.forwards += output.forwards;
            stage.backwards += output.backwards;
        }
        for (place, label) in input.labels().iter().enumerate() {
            let right = clean[place] == *label;
            let broken = right && output.as_ref().is_some_and(|output| output.fooled[place]);
            samples.push(Sample {
                index: input.ids()[place],
                label: *label,
                clean_prediction: clean[place],
                broken_by: match (right, broken) {
                    (false, _) => Some("clean".to_owned()),
                    (true, true) => attack.as_ref().map(|attack| attack.name()),
                    (true, false) => None,
                },
                distance: broken
                    .then(|| threat.distance(input.image(place), &found[place * row..(place + 1) * row])),
            });
        }
        bar.inc(ids.len() as u64);
    }
    bar.finish_and_clear();

    let total = samples.len();
    let correct = samples.iter().filter(|sample| sample.clean_prediction == sample.label).count();
    let robust = samples.iter().filter(|sample| sample.broken_by.is_none()).count();
    println!("{:<10} {:>6} of {total} ({:.2} %)", "clean", correct, 100.0 * correct as f64 / total as f64);
    let mut stages = Vec::new();
    if let Some(attack) = &attack {
        stage.attack = attack.name();
        stage.robust = robust;
        println!(
            "{:<10} {:>6} of {total} ({:.2} %), {} epsilon {}, {:.1} s, {} forwards, {} backwards",
            stage.attack,
            robust,
            100.0 * robust as f64 / total as f64,
            cli.norm,
            cli.epsilon,
            stage.seconds,
            stage.forwards,
            stage.backwards
        );
        stages.push(stage);
    }
    if let Some(path) = &cli.json {
        let report = Report {
            clean: Count { correct, total },
            stages,
            robust: Count { correct: robust, total },
            config: cli.config(step_size, None),
            samples,
        };
        write_whole(path, serde_json::to_string_pretty(&report)?.as_bytes())?;
    }
    Ok(())
}

/// Attacks all samples with AutoAttack, or with one of its attacks.
fn run_ensemble(cli: &Cli, ensemble: &AutoAttack, replicas: &[Replica<'_>], samples: &Samples) -> Outcome {
    let journal = cli.json.as_ref().map(|path| path.with_extension("journal"));
    let saved = match &journal {
        Some(path) if cli.resume => Journal::read(path)?,
        _ => None,
    };
    let mut journal = Journal::new(journal);
    let report = match ensemble.evaluate_on(replicas, samples, saved, &mut journal) {
        Ok(evaluation) => evaluation.report,
        Err(error) => return Err(journal.failure().map_or_else(|| error.into(), Into::into)),
    };
    println!("{report}");
    if let Some(path) = &cli.json {
        let mut value = serde_json::to_value(&report)?;
        value["config"] = serde_json::to_value(cli.config(0.0, Some(report.config)))?;
        write_whole(path, serde_json::to_string_pretty(&value)?.as_bytes())?;
    }
    Ok(journal.remove()?)
}

impl Cli {
    /// Checks that the images can be divided among so many devices.
    fn check_devices(&self) -> Outcome {
        let device = &self.common.device;
        let alone = matches!(self.attack, AttackName::Clean | AttackName::Fgsm | AttackName::Pgd);
        match self.devices {
            _ if alone && !self.with_device.is_empty() => Err("--with-device divides AutoAttack and its attacks \
                 (autoattack, apgd-ce, apgd-t, fab-t, square); leave it out with clean, fgsm and pgd"
                .into()),
            0 => Err("--devices is 0; give at least 1".into()),
            1 => Ok(()),
            _ if alone => Err("--devices divides AutoAttack and its attacks (autoattack, apgd-ce, apgd-t, \
                 fab-t, square); leave it out with clean, fgsm and pgd"
                .into()),
            n if !matches!(device, DeviceChoice::Cpu | DeviceChoice::Ndarray) => Err(format!(
                "--devices {n} on `{device}`: it divides a CPU's cores; leave it out, and name other devices with \
                 --with-device"
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// The ensemble for the attacks that belong to AutoAttack.
    fn ensemble(&self, threat: ThreatModel) -> Option<AutoAttackConfig> {
        let one = |kind| Some(AutoAttackConfig::custom(threat, vec![kind]));
        let config = match self.attack {
            AttackName::Clean | AttackName::Fgsm | AttackName::Pgd => None,
            AttackName::ApgdCe => one(AttackKind::ApgdCe),
            AttackName::ApgdT => one(AttackKind::ApgdT),
            AttackName::FabT => one(AttackKind::FabT),
            AttackName::Square => one(AttackKind::Square),
            AttackName::Autoattack => Some(AutoAttackConfig::new(threat, self.version)),
        }?;
        let config = config.with_queries(self.queries).with_seed(self.common.seed);
        let config = self.steps.into_iter().fold(config, AutoAttackConfig::with_steps);
        Some(self.restarts.into_iter().fold(config, AutoAttackConfig::with_restarts))
    }

    fn attack(&self, step_size: f32) -> Result<Option<Box<dyn Attack>>, burn_twins::attack::AttackError> {
        let threat = ThreatModel::new(self.norm, self.epsilon)?;
        let pgd = match self.attack {
            AttackName::Fgsm => PgdConfig::fgsm(threat),
            AttackName::Pgd => PgdConfig::new(threat, self.steps.unwrap_or(PGD_STEPS), step_size),
            _ => return Ok(None),
        };
        let start = if self.random_start { Start::Uniform } else { Start::Clean };
        let pgd = pgd.with_start(start).with_seed(self.common.seed).build()?;
        Ok(Some(match self.restarts.unwrap_or(1) {
            1 => Box::new(pgd),
            restarts => Box::new(Restarts::new(pgd, restarts)?),
        }))
    }

    fn config(&self, step_size: f32, autoattack: Option<AutoAttackConfig>) -> Config<'_> {
        Config {
            weights: &self.weights,
            arch: self.arch,
            data: &self.data,
            limit: self.limit,
            attack: self.attack,
            norm: self.norm,
            epsilon: self.epsilon,
            pgd: (self.attack == AttackName::Pgd).then(|| PgdSettings {
                steps: self.steps.unwrap_or(PGD_STEPS),
                step_size,
                random_start: self.random_start,
                restarts: self.restarts.unwrap_or(1),
            }),
            seed: self.common.seed,
            device: self.common.device.to_string(),
            devices: self.devices,
            with_devices: self.with_device.iter().map(DeviceChoice::to_string).collect(),
            autoattack,
        }
    }
}
