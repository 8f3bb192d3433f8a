//! The command line, and the attacks that it asks for.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use burn_twins::attack::{
    Attack, AttackError, AttackKind, AutoAttackConfig, Classifier, Length, Norm, PgdConfig, Precision, Start,
    ThreatModel, Version,
};
use burn_twins::data::{DataSource, Limit};
use burn_twins::models::Architecture;
use clap::{Parser, ValueEnum};
use serde::Serialize;

use crate::support::images::{ImageArguments, InputArguments};
use crate::support::parts::TestImages;
use crate::support::{Common, Outcome};

/// Measures a classifier's clean and robust accuracy.
#[derive(Parser, Debug)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,

    /// Weights: PyTorch (.pt, .pth, .th, .ckpt), safetensors, or a model that `finetune` saved.
    #[arg(long)]
    pub weights: PathBuf,

    /// Architecture of the weights.
    #[arg(long)]
    pub arch: Architecture,

    /// Data: builtin, mnist:DIR, cifar10:DIR, cifar100:DIR or folder:DIR; the test part.
    #[arg(long)]
    pub data: DataSource,

    #[command(flatten)]
    pub images: ImageArguments,

    #[command(flatten)]
    pub input: InputArguments,

    /// Use N images, each class in proportion, drawn with a fixed seed; first:N uses the first N.
    #[arg(long, value_name = "N|first:N")]
    pub limit: Option<Limit>,

    /// Images of a folder without sub-folders train and test [default: held-out for a model that finetune trained on such
    /// a folder, all for any other].
    #[arg(long, value_enum)]
    pub test_images: Option<TestImages>,

    /// Images under attack at a time; on a CPU they are split into a model call for each thread.
    #[arg(long, default_value_t = 200)]
    pub batch_size: usize,

    /// Attack; `clean` measures clean accuracy alone.
    #[arg(long, value_enum, default_value_t = AttackName::Pgd)]
    pub attack: AttackName,

    /// Norm of the threat model: linf, l2, l1 or l0, as far as the attack supports it.
    #[arg(long, default_value = "linf")]
    pub norm: Norm,

    /// Radius of the threat model on the [0, 1] scale: a fraction such as 8/255, or a number; in l0, how many values may
    /// change.
    #[arg(long, default_value = "8/255", value_parser = |text: &str| text.parse::<Length>().map(f32::from))]
    pub epsilon: f32,

    /// Attacks of `--attack autoattack`: standard, plus or rand.
    #[arg(long, default_value = "standard")]
    pub version: Version,

    /// Steps of PGD [default: 20], or of APGD and FAB [default: 100].
    #[arg(long)]
    pub steps: Option<usize>,

    /// Length of PGD's steps on the [0, 1] scale: a fraction such as 2/255, or a number [default: a quarter of
    /// epsilon].
    #[arg(long, value_parser = |text: &str| text.parse::<Length>().map(f32::from))]
    pub step_size: Option<f32>,

    /// Start PGD at a random point of the ball.
    #[arg(long)]
    pub random_start: bool,

    /// Runs of an untargeted attack, each from another random start; the worst case counts [default: 1; AutoAttack:
    /// the published numbers].
    #[arg(long)]
    pub restarts: Option<usize>,

    /// Queries of Square.
    #[arg(long, default_value_t = 5000)]
    pub queries: usize,

    /// Forward passes that decide whether a claimed adversarial example counts, in AutoAttack and its attacks: more than half
    /// must misclassify it. More than 1 measures the majority vote of a randomised model.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub fresh_draws: usize,

    /// What gradients are computed in: f32, bf16 or f16, where the device has it; whether a sample is fooled, f32 says.
    #[arg(long, default_value_t = Precision::F32)]
    pub attack_precision: Precision,

    /// Write the report, with a record of every sample, to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,

    /// Write the adversarial examples of AutoAttack, or of one of its attacks, to this NumPy file: float32 of shape [images,
    /// channels, height, width], the clean image where none was found; needs --json.
    #[arg(long, value_name = "FILE.npy", requires = "json")]
    pub save_adversarial: Option<PathBuf>,

    /// Continue an evaluation by AutoAttack, or one of its attacks, that was killed; needs --json.
    #[arg(long, requires = "json")]
    pub resume: bool,
}

/// Steps of PGD where none are given.
pub const PGD_STEPS: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttackName {
    Clean,
    Fgsm,
    Pgd,
    ApgdCe,
    ApgdT,
    FabT,
    Square,
    Autoattack,
}

impl AttackName {
    /// Whether it is AutoAttack or one of its attacks, which divide the images among devices and keep a journal.
    fn is_of_autoattack(self) -> bool {
        !matches!(self, Self::Clean | Self::Fgsm | Self::Pgd)
    }
}

impl Cli {
    /// Checks that the images can be divided as asked.
    pub fn check_devices(&self) -> Outcome {
        if !self.attack.is_of_autoattack() && self.common.shares() > 1 {
            return Err("AutoAttack and its attacks alone (autoattack, apgd-ce, apgd-t, fab-t, square) divide the images \
                        among devices; give one --device, and no --devices, with clean, fgsm and pgd"
                .into());
        }
        self.common.check_devices()
    }

    /// Checks that there is something to resume.
    pub fn check_resume(&self) -> Outcome {
        if self.resume && !self.attack.is_of_autoattack() {
            return Err("--resume continues AutoAttack and its attacks (autoattack, apgd-ce, apgd-t, fab-t, square), which keep a \
                        journal; leave it out with clean, fgsm and pgd"
                .into());
        }
        Ok(())
    }

    /// Checks that there are adversarial examples to save.
    pub fn check_save(&self) -> Outcome {
        if self.save_adversarial.is_some() && !self.attack.is_of_autoattack() {
            return Err("--save-adversarial writes what AutoAttack and its attacks (autoattack, apgd-ce, apgd-t, fab-t, square) \
                        found; leave it out with clean, fgsm and pgd"
                .into());
        }
        Ok(())
    }

    /// Checks that a batch of the attack fits into memory.
    pub fn check_memory(
        &self,
        victim: &dyn Classifier,
        [channels, height, width]: [usize; 3],
        images: usize,
        device: &Device,
    ) -> Outcome {
        let gradients = !matches!(self.attack, AttackName::Clean | AttackName::Square);
        // Each share of a CPU has a batch of its own.
        let size = self.batch_size.min(images) * self.common.cpu_shares().max(1);
        self.common.check_memory(size, |images| {
            let batch = Tensor::zeros([images, channels, height, width], device);
            match gradients {
                true => drop(victim.logits(batch.autodiff().require_grad()).sum().backward()),
                false => drop(victim.logits(batch).into_data()),
            }
        })
    }

    /// The ensemble for the attacks that belong to AutoAttack.
    pub fn ensemble(&self, threat: ThreatModel) -> Option<AutoAttackConfig> {
        let one = |kind| Some(AutoAttackConfig::custom(threat, vec![kind]));
        let config = match self.attack {
            AttackName::Clean | AttackName::Fgsm | AttackName::Pgd => None,
            AttackName::ApgdCe => one(AttackKind::ApgdCe),
            AttackName::ApgdT => one(AttackKind::ApgdT),
            AttackName::FabT => one(AttackKind::FabT),
            AttackName::Square => one(AttackKind::Square),
            AttackName::Autoattack => Some(AutoAttackConfig::new(threat, self.version)),
        }?;
        let config =
            config.with_queries(self.queries).with_fresh_draws(self.fresh_draws).with_seed(self.common.seed);
        let config = self.steps.into_iter().fold(config, AutoAttackConfig::with_steps);
        Some(self.restarts.into_iter().fold(config, AutoAttackConfig::with_restarts))
    }

    pub fn attack(&self, step_size: f32) -> Result<Option<Box<dyn Attack>>, AttackError> {
        let threat = ThreatModel::new(self.norm, self.epsilon)?;
        let pgd = match self.attack {
            AttackName::Fgsm => PgdConfig::fgsm(threat),
            AttackName::Pgd => PgdConfig::new(threat, self.steps.unwrap_or(PGD_STEPS), step_size),
            _ => return Ok(None),
        };
        let start = if self.random_start { Start::Uniform } else { Start::Clean };
        let pgd = pgd.with_start(start).with_seed(self.common.seed).with_restarts(self.restarts.unwrap_or(1));
        Ok(Some(Box::new(pgd.build()?)))
    }
}
