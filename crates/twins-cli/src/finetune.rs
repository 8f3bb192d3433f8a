//! `twins finetune`: fine-tunes an adversarially pre-trained classifier.

use std::path::PathBuf;

use burn_twins::experiment::{Draft, Experiment, Head};
use burn_twins::models::Architecture;
use burn_twins::train::{FrozenFrom, Preset, TrainConfig};
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser};

use crate::support::{OptionSettings, Outcome};
use crate::training::{TrainingOptions, run};

/// Fine-tunes an adversarially pre-trained classifier.
#[derive(Parser, Debug)]
struct Cli {
    /// Pre-trained weights: PyTorch (.pt, .pth, .th, .ckpt), safetensors, or a model saved by this program.
    #[arg(long, help_heading = "Model")]
    weights: Option<PathBuf>,

    /// Architecture of the weights [default: the one recorded in a model file of this library].
    #[arg(long, help_heading = "Model")]
    arch: Option<Architecture>,

    /// Initialise a new head even if the head of the weights matches the data's classes.
    #[arg(long, help_heading = "Model")]
    new_head: bool,

    /// Initial values of the frozen wing: `weights` for the adaptive wing of the file, which inference uses, or `file` for the frozen wing
    /// that the file also holds (model files of this library, and exports of both wings; without effect for other files, whose single statistics
    /// fill both wings) [default: weights].
    #[arg(long, value_name = "weights|file", help_heading = "Model")]
    frozen_from: Option<FrozenFrom>,

    /// Published settings to start from: paper-cifar or paper-caltech. --config overrides them, and options override both.
    #[arg(long, help_heading = "Settings")]
    preset: Option<Preset>,

    #[command(flatten)]
    training: TrainingOptions,
}

/// Defines the command line.
pub fn command() -> Command {
    let method = TrainConfig::default().method;
    Cli::command()
        .name("finetune")
        .mut_arg("arch", crate::arch_help)
        .mut_arg("method", |arg| crate::method_help(arg, method))
}

/// Runs the command.
pub fn start(matches: &ArgMatches) -> Outcome {
    Cli::from_arg_matches(matches).unwrap_or_else(|error| error.exit()).run()
}

impl Cli {
    fn run(&self) -> Outcome {
        let experiment = self.experiment()?;
        if self.training.show_config {
            return crate::show::show(&self.training, &experiment);
        }
        if experiment.config().model.weights.is_none() {
            return Err("fine-tuning starts from trained weights; give --weights FILE, or train a network from scratch with twins train"
                .into());
        }
        run(&self.training, "finetune", &experiment)
    }

    fn experiment(&self) -> Result<Experiment, Box<dyn std::error::Error>> {
        let mut own = OptionSettings::default();
        own.add("--weights", "model.weights", self.weights.as_ref())?;
        own.add("--arch", "model.arch", self.arch)?;
        own.add_flag("--new-head", "model.head", Head::New, self.new_head)?;
        own.add("--frozen-from", "training.frozen_from", self.frozen_from)?;
        Ok(self.training.over(Draft::new().with_preset(self.preset), own)?.resolve()?)
    }
}
