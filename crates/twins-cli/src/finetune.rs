//! `twins finetune`: fine-tunes an adversarially pre-trained classifier.
//!
//! Without arguments it runs the main job on the built-in data: a small network is pre-trained adversarially on letters and
//! fine-tuned on digits, once with adversarial training and once with TWINS-AT.

use std::path::PathBuf;

use burn_twins::experiment::{Draft, Experiment, Head, RunDirectory};
use burn_twins::models::Architecture;
use burn_twins::train::{FrozenFrom, Method, Preset};
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser};

use crate::support::{OptionSettings, Outcome};
use crate::training::{Job, Results, TrainingOptions};

/// The directory of the pre-training.
const PRETRAINING: &str = "pretrain";

/// Fine-tunes an adversarially pre-trained classifier; without --weights, pre-trains one first.
#[derive(Parser, Debug)]
struct Cli {
    /// Pre-trained weights: PyTorch (.pt, .pth, .th, .ckpt), safetensors, or a model saved by this program.
    /// Without them a small network is pre-trained on the built-in source task.
    #[arg(long, help_heading = "Model")]
    weights: Option<PathBuf>,

    /// Architecture of the weights [default: that of a model file of this library].
    #[arg(long, requires = "weights", help_heading = "Model")]
    arch: Option<Architecture>,

    /// Draw a new head even where that of the weights is for the data's classes.
    #[arg(long, requires = "weights", help_heading = "Model")]
    new_head: bool,

    /// What the frozen wing starts from: the adaptive wing of the weights, which inference uses, or the frozen wing that the
    /// file holds beside it (model files of this library) [default: weights].
    #[arg(long, requires = "weights", value_name = "weights|file", help_heading = "Model")]
    frozen_from: Option<FrozenFrom>,

    /// Published setting to start from: paper-cifar or paper-caltech. --config goes over it, and options over both.
    #[arg(long, requires = "weights", help_heading = "Settings")]
    preset: Option<Preset>,

    #[command(flatten)]
    training: TrainingOptions,
}

/// The command line.
pub fn command() -> Command {
    Cli::command().name("finetune").mut_arg("arch", crate::arch_help).mut_arg("method", crate::method_help)
}

/// Does what the command line asks for.
pub fn start(matches: &ArgMatches) -> Outcome {
    Cli::from_arg_matches(matches).unwrap_or_else(|error| error.exit()).run()
}

impl Cli {
    fn run(&self) -> Outcome {
        let experiments = self.experiments()?;
        let first = experiments.first().ok_or("no method")?;
        if self.training.show_config {
            return crate::show::show(first);
        }
        let out = self.training.directory("finetune");
        let pretraining = match first.config().model.weights {
            Some(_) => None,
            None => Some(first.pretraining()?),
        };
        let mut jobs: Vec<(String, &Experiment)> = Vec::new();
        jobs.extend(pretraining.iter().map(|experiment| (PRETRAINING.to_owned(), experiment)));
        jobs.extend(experiments.iter().map(|experiment| (name(experiment), experiment)));
        println!("settings: {}; whole in {}", first.sources(), out.join("*/config.json").display());
        let job = Job::begin(&self.training, out.clone(), &jobs)?;

        let mut pretrained = None;
        if let Some(experiment) = &pretraining {
            println!("pre-training {} on {}", Architecture::TinyResNet, experiment.config().data.source);
            let outcome = job.run(PRETRAINING, experiment)?;
            let protocol = experiment.test_protocol()?;
            let robust = outcome.test.robust.unwrap_or_default();
            println!("pre-trained: clean {}, {protocol} {robust}", outcome.test.clean);
            pretrained = Some(RunDirectory::new(out.join(PRETRAINING)).model());
        }
        let mut results: Option<Results> = None;
        for experiment in experiments {
            let experiment = match &pretrained {
                Some(model) => experiment.with_weights(model),
                None => experiment,
            };
            let outcome = job.run(&name(&experiment), &experiment)?;
            match &mut results {
                Some(results) => results.add(&experiment, &outcome)?,
                None => results = Some(Results::new(&experiment, &outcome, self.weights.clone())?),
            }
        }
        results.map_or(Ok(()), |results| results.finish(&out))
    }

    /// One experiment, or of the built-in job one with adversarial training and one with TWINS-AT.
    fn experiments(&self) -> Result<Vec<Experiment>, Box<dyn std::error::Error>> {
        let mut own = OptionSettings::default();
        own.add("--weights", "model.weights", self.weights.as_ref())?;
        own.add("--arch", "model.arch", self.arch)?;
        own.add_flag("--new-head", "model.head", Head::New, self.new_head)?;
        own.add("--frozen-from", "training.frozen_from", self.frozen_from)?;
        let draft = self.training.over(Draft::new().with_preset(self.preset), own)?;
        if draft.is_builtin()? && draft.source("training.method").is_none() {
            return Ok(draft.resolve_methods(&[Method::At, Method::TwinsAt])?);
        }
        Ok(vec![draft.resolve()?])
    }
}

fn name(experiment: &Experiment) -> String {
    experiment.config().training.method.name().to_owned()
}
