//! Reads a PyTorch checkpoint, lists which entry was loaded into which parameter, and saves it as a model file or for
//! PyTorch.
//!
//! ```text
//! twins convert cifar_resnet20.th --arch resnet20 --out resnet20.safetensors
//! ```

use std::error::Error;
use std::path::PathBuf;

use burn_twins::DeviceChoice;
use burn_twins::data::{DataSource, ImageDataset, NonImages, Part};
use burn_twins::experiment::{read_card, resolve_architecture};
use burn_twins::models::{
    Architecture, ImportOptions, ModelCard, ModelConfig, Wings, export_weights, load_pretrained, save_model,
};
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::support::output::{print, say};
use crate::support::{ModelOptions, Outcome};

/// Converts PyTorch (.pt, .pth, .ckpt, .th), safetensors or burnpack weights.
#[derive(Parser)]
struct Arguments {
    /// The file to read.
    weights: PathBuf,
    /// Architecture of the weights: mnist-cnn, resnet20, resnet50, convnext-tiny, wrn-28-10, ... [default: the one
    /// recorded in a model file of this library].
    #[arg(long)]
    arch: Option<Architecture>,
    /// The file to write; if omitted, the command only prints the list of entries.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Format of the file to write.
    #[arg(long, value_enum, default_value_t = Format::Model)]
    format: Format,
    /// The dictionary in the file that holds the weights, if it is not found automatically.
    #[arg(long)]
    entry: Option<String>,
    /// Entries that may be missing, unexpected or of another shape; `*` matches any text. May be given several times.
    #[arg(long)]
    allow: Vec<String>,
    /// Names of the classes, separated by commas [default: those recorded in a model file of this library, otherwise
    /// numbers].
    #[arg(long, value_delimiter = ',')]
    classes: Vec<String>,
    /// A file with the names of the classes, one per line.
    #[arg(long, conflicts_with = "classes")]
    class_file: Option<PathBuf>,
    /// Take the names of the classes from a data set: cifar10:DIR, folder:DIR and so on.
    #[arg(long, conflicts_with_all = ["classes", "class_file"])]
    classes_of: Option<DataSource>,

    #[command(flatten)]
    model: ModelOptions,
}

impl Arguments {
    fn class_names(&self) -> Result<Vec<String>, Box<dyn Error>> {
        if let Some(path) = &self.class_file {
            let text =
                std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            // Some editors begin a file with a byte order mark.
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let names = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let names: Vec<String> = names.map(str::to_owned).collect();
            if names.is_empty() {
                return Err(format!("{}: no names of classes; write one per line", path.display()).into());
            }
            return Ok(names);
        }
        match &self.classes_of {
            Some(source) => {
                // Only the names of the folders matter.
                let data = source.open_with(Part::Test, |folder| folder.with_non_images(NonImages::Skip))?;
                Ok(data.classes().to_vec())
            }
            None => Ok(self.classes.iter().map(|name| name.trim().to_owned()).collect()),
        }
    }

    /// Refuses options that the file to write cannot record.
    fn check(&self) -> Result<(), String> {
        if self.out.is_none() || matches!(self.format, Format::Model) {
            return Ok(());
        }
        let given = [
            ("--normalisation", self.model.normalisation.is_some()),
            ("--upsample", self.model.upsample.is_some()),
            ("--classes", !self.classes.is_empty()),
            ("--class-file", self.class_file.is_some()),
            ("--classes-of", self.classes_of.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(format!(
                "{option} would be lost: only model files (--format model) record it, other formats contain the weights alone; \
                 leave it out, or change the format"
            )),
            None => Ok(()),
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A model file of this library: both wings, classes, normalisation.
    Model,
    /// safetensors that PyTorch loads with strict=True: the adaptive wing as plain batch normalisation.
    Pytorch,
    /// The same, and the entries of the frozen wing, with the prefix `frozen_`.
    BothWings,
}

fn convert(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    arguments.check()?;
    let device = "cpu".parse::<DeviceChoice>()?.open()?;
    let mut classes = arguments.class_names()?;
    let saved = read_card(&arguments.weights)?;
    if let (true, Some(card)) = (classes.is_empty(), &saved) {
        classes = card.classes().to_vec();
    }
    let mut options = ImportOptions::new();
    if let Some(entry) = arguments.entry {
        options = options.with_entry(entry);
    }
    for pattern in arguments.allow {
        options = options.with_allow(pattern);
    }
    // The import takes the number of classes from the file.
    let arch = resolve_architecture(arguments.arch, saved.as_ref(), &arguments.weights)?;
    let mut config = ModelConfig::new(arch, classes.len().max(2));
    if let Some(side) = arguments.model.upsample {
        // The images of other programs' networks are unknown here, and may be smaller than the architecture's.
        let [_, height, width] = match &saved {
            Some(card) => card.config().input_shape(),
            None => arch.input_shape().map(|size| size.min(side)),
        };
        config = config.with_image_size([height, width]);
    }
    let (config, options) = arguments.model.config().apply(config, options);
    let (net, report) = load_pretrained(&config, &arguments.weights, &options, &device)?;
    print(format_args!("{report}"));
    let Some(out) = arguments.out else { return Ok(()) };
    match arguments.format {
        Format::Model => {
            if classes.is_empty() {
                classes = (0..net.num_classes()).map(|class| class.to_string()).collect();
            }
            let held_out = saved.as_ref().and_then(|card| card.held_out().cloned());
            let checkpoint = saved.as_ref().and_then(ModelCard::checkpoint);
            let preprocessing = saved.as_ref().and_then(ModelCard::preprocessing).map(str::to_owned);
            let card = ModelCard::new(&net, classes)?
                .with_held_out(held_out)
                .with_checkpoint(checkpoint)
                .with_preprocessing(preprocessing);
            save_model(&out, &net, &card)?;
        }
        Format::Pytorch => export_weights(&out, &net, Wings::Adaptive)?,
        Format::BothWings => export_weights(&out, &net, Wings::Both)?,
    }
    say!("{} written", out.display());
    Ok(())
}

/// Defines the command line.
pub fn command() -> Command {
    Arguments::command().name("convert")
}

/// Runs the command.
pub fn start(matches: &ArgMatches) -> Outcome {
    convert(Arguments::from_arg_matches(matches).unwrap_or_else(|error| error.exit()))
}
