//! `twins train`: trains a network from scratch, with or without adversarial training.

use burn_twins::experiment::{Draft, Experiment, Layer};
use burn_twins::models::Architecture;
use burn_twins::train::Method;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser};

use crate::support::{OptionSettings, Outcome};
use crate::training::{TrainingOptions, run};

/// The default method. Without pre-trained weights, there are no statistics that a frozen wing could keep.
const METHOD: Method = Method::At;

/// Trains a network from scratch on any data: adversarially (--method at), as pre-training for `finetune`, or on clean images only
/// (--method standard).
#[derive(Parser, Debug)]
struct Cli {
    /// Architecture [default: tiny-resnet on the built-in data].
    #[arg(long, help_heading = "Model")]
    arch: Option<Architecture>,

    #[command(flatten)]
    training: TrainingOptions,
}

/// Defines the command line.
pub fn command() -> Command {
    Cli::command()
        .name("train")
        .mut_arg("arch", crate::arch_help)
        .mut_arg("method", |arg| crate::method_help(arg, METHOD))
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
        run(&self.training, "train", &experiment)
    }

    fn experiment(&self) -> Result<Experiment, Box<dyn std::error::Error>> {
        let mut own = OptionSettings::default();
        own.add("--arch", "model.arch", self.arch)?;
        let usual = Layer::setting("train", "training.method", METHOD)?;
        let draft = self.training.over(Draft::new().with_layer(usual), own)?;
        let given = draft.given()?;
        if let Some(weights) = given.model.weights {
            return Err(format!(
                "train starts from random weights, but model.weights is {}; leave it out, or use finetune",
                weights.display()
            )
            .into());
        }
        if given.model.arch.is_none() && draft.is_builtin()? {
            let draft = draft.with_layer(Layer::setting("train", "model.arch", Architecture::TinyResNet)?);
            return Ok(draft.resolve()?);
        }
        Ok(draft.resolve()?)
    }
}
