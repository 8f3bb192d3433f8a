//! Evaluates a classifier: clean accuracy, then robust accuracy under AutoAttack or any list of attacks.
//!
//! ```sh
//! twins evaluate --weights mnist_pgd_robust.pth --arch mnist-cnn \
//!     --data mnist:DIR --attack pgd --epsilon 0.3 --attack-steps 20 --step-size 0.03 --json report.json
//! twins evaluate --weights mnist_pgd_robust.pth --arch mnist-cnn \
//!     --data mnist:DIR --limit first:1000 --attack autoattack --epsilon 0.3 --json report.json
//! ```
//!
//! With `--json`, an evaluation that was stopped with Ctrl-C or killed can be resumed with `--resume` and ends with the same report. The
//! evaluation reads images when they are needed and writes adversarial examples to a journal next to the report, so its memory use does not
//! depend on the number of images.

mod adversarial;
mod attacks;
mod cli;
mod lock;
mod report;

use std::collections::BTreeSet;
use std::error::Error;

use burn::module::Module;
use burn::tensor::Tensor;
use burn_twins::DatasetSource;
use burn_twins::attack::{
    AtPrecision, Classifier, ExistingJournal, Journal, Precision, Replica, SampleStream, SurrogateGradients,
};
use burn_twins::data::Preprocessing;
use burn_twins::experiment::{
    DataConfig, FileHash, InputNormalisation, Notice, Notify, TestImages, TestPart, check_classes, read_card,
    resolve_architecture,
};
use burn_twins::models::{ModelCard, Net};
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

use adversarial::{check_writable, save_adversarial};
use cli::{CLEAN, Cli};
use lock::{beside, lock};
#[cfg(test)]
pub use report::Config;

use crate::support::output::{note, say, write};
use crate::support::progress::EvaluationBar;
use crate::support::{Outcome, end_if_lost, printing};

/// The largest number of classes for which `--per-class` prints a table; the JSON report has all classes.
const PRINTED_CLASSES: usize = 20;

/// Defines the command line.
pub fn command() -> Command {
    Cli::command().name("evaluate").mut_arg("arch", crate::arch_help)
}

/// Runs the command.
pub fn start(matches: &ArgMatches) -> Outcome {
    run(&Cli::from_arg_matches(matches).unwrap_or_else(|error| error.exit()))
}

/// The data of the command line. Image files are preprocessed as in the training of the model, unless the command line gives something else.
fn preprocessed(cli: &Cli, card: Option<&ModelCard>, notify: &Notify) -> Result<DataConfig, Box<dyn Error>> {
    let data = cli.images.config(&cli.data);
    let Some(trained) = card.and_then(ModelCard::preprocessing).filter(|_| data.source.has_image_files())
    else {
        return Ok(data);
    };
    let preprocessing: Preprocessing =
        trained.parse().map_err(|error| format!("{}: {error}", cli.weights.display()))?;
    match cli.images.preprocessing {
        None => {
            notify.as_ref()(Notice::Progress(format!("preprocessing of the training: {preprocessing}")));
            Ok(DataConfig { preprocessing, ..data })
        }
        Some(given) => {
            if given != preprocessing {
                let text = format!("--preprocessing {given}: the model was trained with {preprocessing}");
                notify.as_ref()(Notice::Warning(text));
            }
            Ok(data)
        }
    }
}

fn run(cli: &Cli) -> Outcome {
    cli.check()?;
    let mut evaluation = cli.evaluation()?;
    let compute = cli.compute.config();
    let devices = compute.open()?;
    let _watch = end_if_lost(&compute.devices);
    let device = &devices[0];
    for device in &devices {
        cli.attack_precision.check(device)?;
    }
    // Held to the end, because the adversarial examples are read from the journal after the attacks.
    let _lock = cli.json.as_deref().map(lock).transpose()?;
    let journal = cli.json.as_ref().filter(|_| cli.attack != [CLEAN]);
    let journal = journal.map(|path| beside(path, "journal"));
    let (card, notify) = (read_card(&cli.weights)?, printing());
    let data = preprocessed(cli, card.as_ref(), &notify)?;
    if let Some(contradiction) = data.contradiction("--preprocessing") {
        return Err(contradiction.into());
    }
    let chosen = cli.test_images.map(TestImages::from);
    let TestPart { images: test, held_out } =
        TestPart::open(&data, data.test_images, card.as_ref(), chosen, &notify)?;
    let arch = resolve_architecture(cli.arch, card.as_ref(), &cli.weights)?;
    let net = cli.model.config().load(&cli.weights, arch, test.as_ref(), device, &notify)?;
    check_classes(card.as_ref(), &cli.weights, &net, test.as_ref())?;
    if cli.per_class && cli.json.is_none() {
        let classes = test.labels()?.into_iter().collect::<BTreeSet<_>>().len();
        if classes > PRINTED_CLASSES {
            return Err(format!(
                "--per-class prints at most {PRINTED_CLASSES} classes, and the images have {classes}; give --json, whose file has all"
            )
            .into());
        }
    }
    let net = net.valid();
    let nets = devices.iter().map(|device| net.clone().to_device(device));
    let victims: Vec<_> = nets.map(|net| victim(net, cli.attack_precision)).collect();
    let victim = victims[0].as_ref();
    cli.check_memory(victim, test.image_shape(), test.len(), device)?;

    if let Some(path) = &cli.save_adversarial {
        check_writable(path)?;
    }
    if let Some(path) = &journal {
        let existing = if cli.resume { ExistingJournal::Resume } else { ExistingJournal::Replace };
        if cli.resume && !path.exists() {
            note!("{}: no journal; starting from the beginning", path.display());
        }
        evaluation = evaluation.with_journal(path, tag(cli, &net)?, existing);
    }
    let names = test.classes().to_vec();
    let source = DatasetSource::new(test)?;
    let samples = SampleStream::new(&source, device)?.with_batch_size(cli.batch_size)?;
    let replicas: Vec<_> = victims
        .iter()
        .zip(&devices)
        .map(|(victim, device)| Replica::new(victim.as_ref(), device.clone()))
        .collect();
    let mut bar = EvaluationBar::default();
    let report = evaluation.evaluate_stream(&replicas, &samples, &mut bar)?;
    bar.finish();
    say!("{report}");
    if cli.per_class && report.classes.len() <= PRINTED_CLASSES {
        say!("{}", report.classes_table(&names));
    } else if cli.per_class {
        say!("{} classes: the accuracy of each is in the file of --json", report.classes.len());
    }
    if let Some(path) = &cli.json {
        write(path, &report::json(cli, &data, &net, &report, held_out)?)?;
    }
    let Some(path) = &journal else { return Ok(()) };
    if let Some(adversarial) = &cli.save_adversarial
        && let Some(journal) = Journal::read(path)?
    {
        save_adversarial(adversarial, &samples, &journal)?;
    }
    Ok(Journal::remove(path)?)
}

/// Distinguishes the model from others in the journal: its weights, and the options that change what it computes with them. The logits show
/// such a change only if the attacks do not expect a randomised model.
fn tag(cli: &Cli, net: &Net) -> Result<String, Box<dyn Error>> {
    let (hash, config) = (FileHash::of(&cli.weights)?.sha256, net.config());
    let normalisation = InputNormalisation(config.normalisation().cloned());
    let mut tag =
        format!("weights of SHA-256 {hash} in {}, normalisation {normalisation}", config.architecture());
    if let Some([height, width]) = config.upsampling() {
        tag += &format!(", enlarged to {height} x {width} pixels");
    }
    for rename in &cli.model.rename {
        tag += &format!(", renamed {rename}");
    }
    Ok(tag)
}

/// The net as the attacks see it: its own predictions, and gradients in the given precision.
fn victim(net: Net, precision: Precision) -> Box<dyn Classifier + Sync> {
    let copy = precision.copy(&net);
    let exact = move |images: Tensor<4>| net.forward(images);
    match precision {
        Precision::F32 => Box::new(exact),
        Precision::Bf16 | Precision::F16 => Box::new(SurrogateGradients::new(
            exact,
            AtPrecision::new(move |images: Tensor<4>| copy.forward(images), precision),
        )),
    }
}
