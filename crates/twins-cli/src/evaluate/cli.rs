//! The command line.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use burn_twins::attack::{Classifier, Coverage, Length, Norm, Precision, RegisteredAttack, Version};
use burn_twins::data::DataSource;
use burn_twins::experiment::TestImages;
use burn_twins::models::Architecture;
use clap::builder::PossibleValuesParser;
use clap::{Parser, ValueEnum};

use crate::support::{ComputeOptions, ImageOptions, ModelOptions, Outcome};

/// Measures a classifier's clean and robust accuracy.
#[derive(Parser, Debug)]
pub struct Cli {
    /// Weights: PyTorch (.pt, .pth, .th, .ckpt), safetensors, or a model that `finetune` saved.
    #[arg(long)]
    pub weights: PathBuf,

    /// Architecture of the weights [default: that of a model file of this library].
    #[arg(long)]
    pub arch: Option<Architecture>,

    /// Data, whose test part is used: builtin, mnist:DIR, cifar10:DIR, cifar100:DIR, folder:DIR, archives with their published
    /// splits (caltech256:DIR, cub200:DIR, dogs:DIR, dtd:DIR, gtsrb:DIR, pets:DIR), or list:FILE.
    #[arg(long)]
    pub data: DataSource,

    /// Images of a folder without sub-folders train and test [default: held-out for a model that finetune trained on such
    /// a folder, all for any other].
    #[arg(long, value_enum)]
    pub test_images: Option<TestImagesChoice>,

    /// Images under attack at a time; on a CPU they are split into a model call for each thread.
    #[arg(long, default_value_t = 200)]
    pub batch_size: usize,

    /// Attack, or several with commas between them, made one after the other; `clean` measures clean accuracy alone.
    #[arg(long, help_heading = "Attacks", value_delimiter = ',', default_value = "pgd", value_parser = PossibleValuesParser::new(attack_names()))]
    pub attack: Vec<String>,

    /// Norm of the threat model: linf, l2, l1 or l0, as far as the attack supports it.
    #[arg(long, help_heading = "Attacks", default_value = "linf")]
    pub norm: Norm,

    /// Radius of the threat model on the [0, 1] scale: a fraction such as 8/255, or a number; in l0, how many values may
    /// change. Several with commas between them give a robustness curve: an image broken at a small one is not attacked at a larger one.
    #[arg(long, help_heading = "Attacks", default_value = "8/255", value_delimiter = ',', value_parser = |text: &str| text.parse::<Length>().map(f32::from))]
    pub epsilon: Vec<f32>,

    /// Images that each attack is made on: survivors of the attacks before, or every-attack for all that are classified
    /// correctly, which also gives each attack's own robust accuracy.
    #[arg(long, help_heading = "Attacks", default_value_t = Coverage::Survivors)]
    pub coverage: Coverage,

    /// Print clean and robust accuracy of each class, of at most 20.
    #[arg(long)]
    pub per_class: bool,

    /// Attacks of `--attack autoattack`: standard, plus or rand.
    #[arg(long, help_heading = "Attacks", alias = "version", default_value = "standard")]
    pub aa_version: Version,

    /// Steps of PGD [default: 20], or of APGD and FAB [default: 100].
    #[arg(long, help_heading = "Attacks", alias = "steps", value_name = "N")]
    pub attack_steps: Option<usize>,

    /// Length of PGD's steps on the [0, 1] scale: a fraction such as 2/255, or a number [default: a quarter of
    /// epsilon].
    #[arg(long, help_heading = "Attacks", value_parser = |text: &str| text.parse::<Length>().map(f32::from))]
    pub step_size: Option<f32>,

    /// Start PGD at a random point of the ball.
    #[arg(long, help_heading = "Attacks")]
    pub random_start: bool,

    /// Runs of an untargeted attack, each from another random start; the worst case counts [default: 1; AutoAttack:
    /// the published numbers].
    #[arg(long, help_heading = "Attacks")]
    pub restarts: Option<usize>,

    /// Queries of Square [default: 5000].
    #[arg(long, help_heading = "Attacks")]
    pub queries: Option<usize>,

    /// Forward passes that decide whether a claimed adversarial example counts: more than half must misclassify it. More than 1
    /// measures the majority vote of a randomised model.
    #[arg(long, help_heading = "Attacks", default_value_t = 1, value_name = "N")]
    pub fresh_draws: usize,

    /// Precision of the gradients: f32, bf16 or f16, where the device has it. Verdicts are always those in f32.
    #[arg(long, help_heading = "Attacks", default_value_t = Precision::F32)]
    pub attack_precision: Precision,

    /// Write the report, with a record of every sample, to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,

    /// Write the adversarial examples to this NumPy file: float32 of shape [images, channels, height, width], the clean image
    /// where none was found; needs --json.
    #[arg(long, value_name = "FILE.npy", requires = "json")]
    pub save_adversarial: Option<PathBuf>,

    /// Continue an evaluation that was killed; needs --json.
    #[arg(long, requires = "json")]
    pub resume: bool,

    #[command(flatten)]
    pub images: ImageOptions,

    #[command(flatten)]
    pub model: ModelOptions,

    #[command(flatten)]
    pub compute: ComputeOptions,
}

/// Images of a folder without sub-folders train and test to measure on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TestImagesChoice {
    /// The fifth that finetune holds out of its training.
    HeldOut,
    /// All: for a folder that the model was not trained on.
    All,
}

impl From<TestImagesChoice> for TestImages {
    fn from(choice: TestImagesChoice) -> Self {
        match choice {
            TestImagesChoice::HeldOut => Self::HeldOut,
            TestImagesChoice::All => Self::All,
        }
    }
}

/// No attack: clean accuracy alone.
pub const CLEAN: &str = "clean";
/// The published list of attacks.
pub const AUTOATTACK: &str = "autoattack";

fn attack_names() -> Vec<&'static str> {
    [CLEAN, AUTOATTACK].into_iter().chain(RegisteredAttack::all().map(RegisteredAttack::name)).collect()
}

impl Cli {
    /// Checks what the options say together.
    pub fn check(&self) -> Outcome {
        if self.batch_size == 0 {
            return Err("--batch-size is 0; give at least 1".into());
        }
        let clean = self.attack.iter().any(|name| name == CLEAN);
        if clean && self.resume {
            return Err("--resume continues an evaluation with attacks, which keeps a journal; leave it out with clean".into());
        }
        if clean && self.save_adversarial.is_some() {
            return Err("--save-adversarial writes what attacks found; leave it out with clean".into());
        }
        if clean && self.compute.config().replicas() > 1 {
            return Err(
                "clean accuracy is measured on one device; give one --device, and no --cpu-shards, with clean"
                    .into(),
            );
        }
        Ok(self.compute.config().check()?)
    }

    /// Checks that a batch of the attack fits into memory.
    pub fn check_memory(
        &self,
        victim: &dyn Classifier,
        [channels, height, width]: [usize; 3],
        images: usize,
        device: &Device,
    ) -> Outcome {
        let plain = |name: &String| name == CLEAN || name == "square";
        let gradients = !self.attack.iter().all(plain);
        let compute = self.compute.config();
        let cpus = compute.devices.iter().filter(|device| device.is_cpu()).count() * compute.cpu_shards;
        // Each shard of a CPU has a batch of its own.
        let size = self.batch_size.min(images) * cpus.max(1);
        Ok(compute.check_memory(size, |images| {
            let batch = Tensor::zeros([images, channels, height, width], device);
            if gradients {
                drop(victim.logits(batch.autodiff().require_grad()).sum().backward());
            } else {
                drop(victim.logits(batch).into_data());
            }
        })?)
    }
}
