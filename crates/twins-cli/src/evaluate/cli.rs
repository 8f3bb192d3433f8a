//! The command line of `twins evaluate`.

use std::path::{Path, PathBuf, absolute};

use burn::tensor::{Device, Tensor};
use burn_twins::attack::{Classifier, Coverage, Length, Norm, Precision, RegisteredAttack, Version};
use burn_twins::data::DataSource;
use burn_twins::experiment::TestImages;
use burn_twins::models::Architecture;
use clap::builder::PossibleValuesParser;
use clap::{Parser, ValueEnum};
use twins_files::check_replaceable;

use super::lock::beside;
use crate::support::{ComputeOptions, ImageOptions, ModelOptions, Outcome};

/// Evaluates a classifier's clean and robust accuracy.
#[derive(Parser, Debug)]
pub struct Cli {
    /// Weights: PyTorch (.pt, .pth, .th, .ckpt), safetensors, or a model that `finetune` saved.
    #[arg(long)]
    pub weights: PathBuf,

    /// Architecture of the weights [default: the one recorded in a model file of this library].
    #[arg(long)]
    pub arch: Option<Architecture>,

    /// Data, of which the test part is used: builtin, builtin:source, mnist:DIR, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR, folder:DIR,
    /// archives with their published splits (caltech256:DIR, cub200:DIR, dogs:DIR, dtd:DIR and dtd@2:DIR to dtd@10:DIR, gtsrb:DIR,
    /// pets:DIR), or list:FILE.
    #[arg(long)]
    pub data: DataSource,

    /// Images to use from a folder without train and test sub-folders [default: held-out if finetune trained the model on such a folder,
    /// all otherwise].
    #[arg(long, value_enum)]
    pub test_images: Option<TestImagesChoice>,

    /// Number of images attacked at a time; on a CPU, every thread runs the model on a part of them.
    #[arg(long, default_value_t = 200)]
    pub batch_size: usize,

    /// Attack, or several separated by commas, run one after the other; `clean` evaluates clean accuracy only, whatever --norm and
    /// --epsilon are.
    #[arg(long, help_heading = "Attacks", value_delimiter = ',', default_value = "pgd", value_parser = PossibleValuesParser::new(attack_names()))]
    pub attack: Vec<String>,

    /// Norm of the threat model: linf, l2, l1 or l0, if the attack supports it.
    #[arg(long, help_heading = "Attacks", default_value = "linf")]
    pub norm: Norm,

    /// Radius of the threat model on the [0, 1] scale: a fraction such as 8/255, or a number; for l0, the number of values that may change.
    /// Several radii, separated by commas, give a robustness curve: an image broken at a small radius is not attacked at a larger one.
    #[arg(long, help_heading = "Attacks", default_value = "8/255", value_delimiter = ',', value_parser = |text: &str| text.parse::<Length>().map(f32::from))]
    pub epsilon: Vec<f32>,

    /// Images that each attack runs on: `survivors` for those that no earlier attack has broken, or `every-attack` for all correctly
    /// classified images, which also gives each attack's own robust accuracy.
    #[arg(long, help_heading = "Attacks", default_value_t = Coverage::Survivors)]
    pub coverage: Coverage,

    /// Print the clean and robust accuracy of each class; with more than 20 classes, they are in the file of --json alone.
    #[arg(long)]
    pub per_class: bool,

    /// Version of AutoAttack for `--attack autoattack`: standard, plus or rand [default: standard].
    #[arg(long, help_heading = "Attacks", alias = "version")]
    pub aa_version: Option<Version>,

    /// Steps of PGD and MI-FGSM [default: 20], or of APGD, FAB, DDN, FMN and sigma-zero [default: 100].
    #[arg(long, help_heading = "Attacks", alias = "steps", value_name = "N")]
    pub attack_steps: Option<usize>,

    /// Step size of PGD on the [0, 1] scale: a fraction such as 2/255, or a number [default: a quarter of epsilon].
    #[arg(long, help_heading = "Attacks", value_parser = |text: &str| text.parse::<Length>().map(f32::from))]
    pub step_size: Option<f32>,

    /// Start FGSM, PGD and MI-FGSM at a random point of the epsilon ball.
    #[arg(long, help_heading = "Attacks")]
    pub random_start: bool,

    /// Number of runs of FGSM, PGD, MI-FGSM, APGD and FAB, each from another start, and for a targeted attack for each of its classes; an
    /// image counts as broken if any run breaks it. With AutoAttack, only its untargeted attacks are repeated [default: 1; AutoAttack: the
    /// published numbers].
    #[arg(long, help_heading = "Attacks")]
    pub restarts: Option<usize>,

    /// Number of queries of Square [default: 5000].
    #[arg(long, help_heading = "Attacks")]
    pub queries: Option<usize>,

    /// Number of forward passes that verify each adversarial example: more than half of them must misclassify it. A value above 1 evaluates
    /// the majority vote of a randomised model.
    #[arg(long, help_heading = "Attacks", default_value_t = 1, value_name = "N")]
    pub fresh_draws: usize,

    /// Precision of the gradients: f32, bf16 or f16, if the device supports it. Predictions are always computed in f32.
    #[arg(long, help_heading = "Attacks", default_value_t = Precision::F32)]
    pub attack_precision: Precision,

    /// Write the report, with a record of every sample, to this file. Until then, the outcomes of attacks are in a
    /// journal beside it, from which --resume continues.
    #[arg(long)]
    pub json: Option<PathBuf>,

    /// Write the adversarial examples to this NumPy file: float32 of shape [images, channels, height, width], with the clean image where no
    /// adversarial example was found; requires --json.
    #[arg(long, value_name = "FILE.npy", requires = "json")]
    pub save_adversarial: Option<PathBuf>,

    /// Resume an evaluation that was stopped with Ctrl-C or killed; requires --json. Without --resume, an existing journal is replaced.
    #[arg(long, requires = "json")]
    pub resume: bool,

    #[command(flatten)]
    pub images: ImageOptions,

    #[command(flatten)]
    pub model: ModelOptions,

    #[command(flatten)]
    pub compute: ComputeOptions,
}

/// Which images of a folder without train and test sub-folders to evaluate on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TestImagesChoice {
    /// The fifth that finetune holds out from training.
    HeldOut,
    /// All images, for a folder that the model was not trained on.
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

/// The name for no attack: clean accuracy only.
pub const CLEAN: &str = "clean";
/// The name for AutoAttack, the published ensemble of attacks.
pub const AUTOATTACK: &str = "autoattack";

fn attack_names() -> Vec<&'static str> {
    [CLEAN, AUTOATTACK].into_iter().chain(RegisteredAttack::all().map(RegisteredAttack::name)).collect()
}

/// Whether two paths lead to the same file, which need not exist.
fn is_same(path: &Path, other: &Path) -> bool {
    resolved(path) == resolved(other)
}

/// The path without links and `..`, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let path = absolute(path).unwrap_or_else(|_| path.to_owned());
    path.canonicalize().unwrap_or_else(|_| match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path.clone(),
    })
}

impl Cli {
    /// Checks combinations of options.
    pub fn check(&self) -> Outcome {
        if self.batch_size == 0 {
            return Err("--batch-size is 0; give at least 1".into());
        }
        for (option, path) in [("--json", &self.json), ("--save-adversarial", &self.save_adversarial)] {
            if let Some(path) = path.as_ref().filter(|path| path.is_dir()) {
                let path = path.display();
                return Err(format!("{option} {path} is a directory; give the name of a file").into());
            }
        }
        // The lock and the journal are beside the report under its name with these extensions.
        if let Some(path) = &self.json
            && path.extension().is_some_and(|extension| extension == "lock" || extension == "journal")
        {
            return Err(format!(
                "--json {} has the name of a lock or journal; give a name such as report.json",
                path.display()
            )
            .into());
        }
        for path in self.json.iter().chain(&self.save_adversarial) {
            check_replaceable(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        self.check_distinct()?;
        if self.json.is_some() && self.weights.to_str().is_none() {
            let weights = self.weights.display();
            return Err(format!(
                "the path of --weights {weights} is not UTF-8 and cannot be written to the report; rename it, or leave --json out"
            )
            .into());
        }
        let clean = self.attack.iter().any(|name| name == CLEAN);
        let of_attacks = [
            ("--coverage", self.coverage != Coverage::Survivors),
            ("--fresh-draws", self.fresh_draws != 1),
            ("--attack-precision", self.attack_precision != Precision::F32),
        ];
        if clean && let Some((option, _)) = of_attacks.into_iter().find(|(_, given)| *given) {
            return Err(format!("{option} is an option of attacks; leave it out with clean").into());
        }
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

    /// Refuses to write the adversarial examples over the report, or either over the weights.
    fn check_distinct(&self) -> Outcome {
        let files = [("--json", &self.json), ("--save-adversarial", &self.save_adversarial)];
        for (option, path) in files.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?))) {
            if is_same(path, &self.weights) {
                let path = path.display();
                return Err(format!(
                    "{option} {path} would replace the weights; give the name of another file"
                )
                .into());
            }
        }
        if let (Some(report), Some(path)) = (&self.json, &self.save_adversarial) {
            let own = [report.clone(), beside(report, "lock"), beside(report, "journal")];
            if own.iter().any(|own| is_same(path, own)) {
                return Err(format!(
                    "--save-adversarial {} is the report of --json, its lock or its journal; give another name",
                    path.display()
                )
                .into());
            }
        }
        Ok(())
    }

    /// Checks that an attack's batch fits into memory.
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
        let batch_size = self.batch_size.min(images);
        // Each CPU shard has its own batch.
        Ok(compute.check_memory(batch_size, batch_size * cpus.max(1), |images| {
            let batch = Tensor::zeros([images, channels, height, width], device);
            if gradients {
                drop(victim.logits(batch.autodiff().require_grad()).sum().backward());
            } else {
                drop(victim.logits(batch).into_data());
            }
        })?)
    }
}
