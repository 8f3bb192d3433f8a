//! Fine-tunes an adversarially pre-trained classifier.
//!
//! Without arguments it runs the main job on the built-in data: a small net is pre-trained adversarially on
//! letters and fine-tuned on digits, once with adversarial training and once with TWINS-AT.
//!
//! ```sh
//! twins finetune
//! twins finetune --weights cifar_resnet20.th --arch resnet20 \
//!     --data folder:images --method twins-at --epochs 2 --out runs/images
//! ```

mod builtin;
mod cli;
mod head;
mod memory;
mod recipe;
mod reporting;
mod run_file;
mod set_options;
mod shell;
mod tuning;

use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use burn_twins::data::{DataSource, ImageDataset, Limit};
use burn_twins::models::{Architecture, HeldOut, ModelCard, Net, SavedCheckpoint, save_model};
use burn_twins::report::{Report, RunRecord};
use burn_twins::train::{EffectiveConfig, EpochMetrics, Evaluation, EvaluationProtocol, Method, TrainConfig};
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};
use serde::Serialize;
use signal_hook::consts::SIGINT;
use signal_hook::flag;

use cli::Cli;
use head::Head;
use recipe::Recipe;
use tuning::{fit, measure, test_protocol, validation};

use crate::support::Outcome;
use crate::support::images::{architecture, card};
use crate::support::parts::Parts;

#[derive(Serialize)]
struct Row {
    method: Method,
    /// `null` without a validation.
    best_epoch: Option<usize>,
    /// Which checkpoint is the result.
    checkpoint: SavedCheckpoint,
    test: Evaluation,
    /// How the robust accuracy of the test was measured.
    protocol: EvaluationProtocol,
    seconds: f64,
    /// Of the training.
    waiting_share: f64,
}

#[derive(Serialize)]
struct JsonReport<'a> {
    data: &'a DataSource,
    arch: Architecture,
    weights: Option<&'a Path>,
    head: &'a str,
    held_out: Option<&'a HeldOut>,
    /// The number of images of the data's own validation part.
    validation_images: Option<usize>,
    config: EffectiveConfig,
    results: &'a [Row],
}

/// The command line.
pub fn command() -> Command {
    Cli::command().name("finetune")
}

/// Does what the command line asks for.
pub fn start(matches: &ArgMatches) -> Outcome {
    let cli = Cli::from_arg_matches(matches).unwrap_or_else(|error| error.exit());
    let recipe = Recipe::new(&cli, matches)?;
    run(cli, &recipe)
}

fn run(mut cli: Cli, recipe: &Recipe) -> Outcome {
    cli.common.check_devices()?;
    if cli.show_config {
        println!("{}", serde_json::to_string_pretty(&recipe.config.effective()?)?);
        eprintln!("from {}", recipe.sources());
        eprintln!("validation: {}", validation(&recipe.config, cli.data.has_validation())?);
        eprintln!("test: {}", test_protocol(&recipe.config)?);
        return Ok(());
    }
    // The first Ctrl-C asks for an end after the step, the second ends at once: checkpoints are written atomically.
    flag::register_conditional_shutdown(SIGINT, 130, cli.stop.clone())?;
    flag::register(SIGINT, cli.stop.clone())?;
    (cli.images.framing, cli.input.upsample) = (recipe.framing, recipe.upsample);
    let cli = &cli;
    let devices = cli.common.open()?;
    let out = cli.folder();
    run_file::refuse_existing(cli, &out)?;
    let limit = |builtin| cli.limit.or(cli.is_builtin().then_some(Limit::First(builtin)));
    let parts =
        Parts::open(&cli.images, &cli.data, [builtin::TRAIN_IMAGES, builtin::TEST_IMAGES].map(limit))?;
    let (train, test) = (&parts.train, &parts.test);
    println!("settings: {}; whole in {}", recipe.sources(), out.join("*/config.json").display());

    let loaded = cli.weights.as_ref().map(|weights| load(cli, weights, &parts, &devices[0])).transpose()?;
    let settings = run_file::settings(cli, recipe, &parts, loaded.as_ref().map(|(net, head)| (net, head)))?;
    run_file::begin(cli, &out, &settings)?;
    let config = if cli.resume { recipe.resuming(&out)? } else { recipe.config.clone() };
    let config = &config;
    let (pretrained, head) = match loaded {
        Some(loaded) => loaded,
        None => {
            let reason = "the built-in job carries over the other layers alone";
            (builtin::pretrain(cli, config, &out, &devices)?, Head::New(reason.to_owned()))
        }
    };
    let pretrained = head.apply(pretrained, train.classes().len(), config.seed)?;

    let mut report = Report::new(format!("Adversarial fine-tuning on {}", cli.data));
    let mut results = Vec::new();
    for method in &recipe.methods {
        memory::check(cli, config, *method, &pretrained, train.as_ref(), &devices[0])?;
        let config = TrainConfig { method: *method, ..config.clone() };
        let record =
            reporting::begin(cli, &config, pretrained.architecture(), &parts, &head, &recipe.sources())?;
        let (row, record) = tune(cli, &config, record, &pretrained, &parts, &out, &devices)?;
        results.push(row);
        report = report.with_run(record);
    }

    print_table(&results, test.len());
    let json = JsonReport {
        data: &cli.data,
        arch: pretrained.architecture(),
        weights: cli.weights.as_deref(),
        head: head.name(),
        held_out: parts.held_out.as_ref(),
        validation_images: parts.validation.as_ref().map(|images| images.len()),
        config: config.effective()?,
        results: &results,
    };
    twins_files::write_whole(out.join("report.json"), serde_json::to_string_pretty(&json)?.as_bytes())?;
    report.write(out.join("report.html"))?;
    println!("models, metrics and report.html are in {}", out.display());
    Ok(())
}

/// Loads pre-trained weights, and says whether their head fits the data.
fn load(
    cli: &Cli,
    weights: &Path,
    parts: &Parts,
    device: &Device,
) -> Result<(Net, Head), Box<dyn std::error::Error>> {
    let card = card(weights)?;
    let arch = architecture(cli.arch, card.as_ref(), weights)?;
    let net = cli.input.load(weights, arch, parts.train.as_ref(), device)?;
    let head = Head::choose(&net, card.as_ref(), parts.train.classes(), cli.new_head);
    parts.warn_of_other_split(card.as_ref());
    Ok((net, head))
}

/// Fine-tunes with one method, saves the best model and measures it.
fn tune(
    cli: &Cli,
    config: &TrainConfig,
    record: RunRecord,
    pretrained: &Net,
    parts @ Parts { train, test, held_out, .. }: &Parts,
    out: &Path,
    devices: &[Device],
) -> Result<(Row, RunRecord), Box<dyn std::error::Error>> {
    let method = config.method;
    let folder = out.join(method.name());
    println!("fine-tuning on {} with {method}: {} images, {} epochs", cli.data, train.len(), config.epochs);
    let begin = Instant::now();
    let trained = fit(cli, config, pretrained.clone(), parts, devices, &folder)?;
    let checkpoint = match trained.best_epoch {
        Some(_) => SavedCheckpoint::Best,
        None => SavedCheckpoint::Last,
    };
    let protocol = test_protocol(config)?;
    let test_accuracy = measure(&trained.best, test, &protocol, devices)?;
    let seconds = begin.elapsed().as_secs_f64();
    let card = ModelCard::new(&trained.best, train.classes().to_vec())?.with_held_out(held_out.clone());
    let card = card.with_checkpoint(Some(checkpoint));
    save_model(folder.join("model.safetensors"), &trained.best, &card)?;
    let begin = Instant::now();
    let measured = (&test_accuracy, &protocol);
    let mut record = reporting::examine(cli, config, record, &trained, test, measured, &devices[0])?;
    println!("  measured for the report in {:.1} s", begin.elapsed().as_secs_f64());
    record.provenance.seconds = seconds + begin.elapsed().as_secs_f64();
    record.write(&folder)?;
    let total = |field: fn(&EpochMetrics) -> f64| trained.history.iter().map(field).sum::<f64>();
    let row = Row {
        method,
        best_epoch: trained.best_epoch.map(|best| best.epoch),
        checkpoint,
        test: test_accuracy,
        protocol,
        seconds,
        waiting_share: total(|epoch| epoch.seconds_waiting) / total(|epoch| epoch.seconds).max(1e-9),
    };
    Ok((row, record))
}

/// The results of all methods, which are measured alike.
fn print_table(results: &[Row], images: usize) {
    let Some(Row { protocol, .. }) = results.first() else { return };
    println!("\n{images} test images, {protocol}");
    let test = protocol.attack();
    println!(
        "{:<14} {:>9} {test:>9} {:>11} {:>9} {:>9}",
        "method", "clean", "best epoch", "seconds", "waiting"
    );
    for Row { method, best_epoch, test, seconds, waiting_share, .. } in results {
        println!(
            "{:<14} {:>7.2} % {:>7.2} % {:>11} {:>9.1} {:>7.1} %",
            method.name(),
            test.clean.percent(),
            test.robust.unwrap_or_default().percent(),
            best_epoch.map_or("none: last".to_owned(), |epoch| epoch.to_string()),
            seconds,
            100.0 * waiting_share
        );
    }
    println!();
}
