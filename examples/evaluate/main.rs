//! Measures a classifier: clean accuracy, then an attack or the AutoAttack ensemble.
//!
//! ```sh
//! cargo run --release --example evaluate -- --weights mnist_pgd_robust.pth --arch mnist-cnn \
//!     --data mnist:DIR --attack pgd --epsilon 0.3 --steps 20 --step-size 0.03 --json report.json
//! cargo run --release --example evaluate -- --weights mnist_pgd_robust.pth --arch mnist-cnn \
//!     --data mnist:DIR --limit first:1000 --attack autoattack --epsilon 0.3 --json report.json
//! ```
//!
//! An evaluation by AutoAttack that was killed is resumed with `--resume`, and ends with the same report. It reads images as they
//! are needed and writes what it finds to a journal beside the report, so that its memory does not depend on their number.

mod adversarial;
mod cli;
mod report;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Tensor;
use burn_twins::DatasetSource;
use burn_twins::attack::{
    AtPrecision, AutoAttack, AutoAttackConfig, Classifier, Precision, Replica, SampleStream, Samples,
    SurrogateGradients, ThreatModel, Verification, VerificationRule, predictions, wilson_interval,
};
use burn_twins::data::{ImageDataset, collate};
use burn_twins::models::{HeldOut, Net};
use clap::Parser;
use twins_files::write_whole;

use adversarial::save_adversarial;
use cli::Cli;
use report::{Count, Report, Sample, Stage};
use support::Outcome;
use support::file_hash::file_hash;
use support::images::{card, check_classes};
use support::journal::Journal;
use support::parts::{TestPart, open_test};

fn main() -> ExitCode {
    support::exit(run(&Cli::parse()))
}

fn run(cli: &Cli) -> Outcome {
    if cli.batch_size == 0 {
        return Err("--batch-size is 0; give at least 1".into());
    }
    cli.check_devices()?;
    cli.check_resume()?;
    cli.check_save()?;
    let devices = cli.common.open()?;
    let device = &devices[0];
    for device in &devices {
        cli.attack_precision.check(device)?;
    }
    let threat = ThreatModel::new(cli.norm, cli.epsilon)?;
    let ensemble = cli.ensemble(threat).map(AutoAttackConfig::build).transpose()?;
    let step_size = cli.step_size.unwrap_or(cli.epsilon / 4.0);
    let attack = cli.attack(step_size)?;
    let card = card(&cli.weights)?;
    let TestPart { images: test, held_out } =
        open_test(&cli.images, &cli.data, cli.limit, card.as_ref(), cli.test_images)?;
    let net = cli.input.load(&cli.weights, cli.arch, test.as_ref(), device)?;
    check_classes(card.as_ref(), &cli.weights, &net, test.as_ref())?;
    let net = net.valid();
    let nets = devices.iter().map(|device| net.clone().to_device(device));
    let victims: Vec<_> = nets.map(|net| victim(net, cli.attack_precision)).collect();
    let victim = victims[0].as_ref();
    cli.check_memory(victim, test.image_shape(), test.len(), device)?;
    if let Some(ensemble) = ensemble {
        let source = DatasetSource::new(test)?;
        let samples = SampleStream::new(&source, device)?.with_batch_size(cli.batch_size)?;
        let replicas: Vec<_> = victims
            .iter()
            .zip(devices)
            .map(|(victim, device)| Replica::new(victim.as_ref(), device))
            .collect();
        return run_ensemble(cli, &ensemble, &replicas, &samples, held_out);
    }

    let mut samples = Vec::with_capacity(test.len());
    let mut stage = Stage {
        attack: String::new(),
        robust: 0,
        seconds: 0.0,
        forwards: 0,
        backwards: 0,
        verification: Verification::default(),
    };
    let bar = support::bar(test.len());
    for ids in (0..test.len()).collect::<Vec<_>>().chunks(cli.batch_size) {
        let batch = collate(test.as_ref(), ids, None, device)?;
        let numbers = ids.iter().map(|&index| test.source_index(index) as u64).collect();
        let input =
            Samples::new(batch.images, batch.labels)?.with_ids(numbers)?.with_batch_size(cli.batch_size)?;
        let clean = predictions(victim, &input)?;
        let begin = Instant::now();
        let output = attack.as_ref().map(|attack| attack.run(victim, &input)).transpose()?;
        stage.seconds += begin.elapsed().as_secs_f64();
        let found = match &output {
            Some(output) => output.adversarial.clone().into_data().try_to_vec::<f32>()?,
            None => Vec::new(),
        };
        let row = found.len() / ids.len();
        if let Some(output) = &output {
            stage.forwards += output.forwards;
            stage.backwards += output.backwards;
            stage.verification += output.verification;
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
        let standing = samples.iter().filter(|sample| sample.broken_by.is_none()).count();
        let share = 100.0 * standing as f64 / samples.len() as f64;
        bar.set_message(format!("{standing} standing, robust accuracy so far {share:.2} %"));
        bar.inc(ids.len() as u64);
    }
    bar.finish_and_clear();

    let total = samples.len();
    let correct = samples.iter().filter(|sample| sample.clean_prediction == sample.label).count();
    let robust = samples.iter().filter(|sample| sample.broken_by.is_none()).count();
    let share = |count: usize| {
        let [low, high] = wilson_interval(count, total).map(|bound| 100.0 * bound);
        let percent = 100.0 * count as f64 / total as f64;
        format!("{count:>6} of {total} ({percent:.2} %, 95 % interval {low:.2} to {high:.2} %)")
    };
    println!("{:<10} {}", "clean", share(correct));
    let mut stages = Vec::new();
    if let Some(attack) = &attack {
        stage.attack = attack.name();
        stage.robust = robust;
        println!(
            "{:<10} {}, {threat}, {:.1} s, {} forwards, {} backwards",
            stage.attack,
            share(robust),
            stage.seconds,
            stage.forwards,
            stage.backwards
        );
        if stage.verification.refuted() > 0 {
            println!("warning: {}; they are not used", stage.verification);
        }
        stages.push(stage);
    }
    if let Some(path) = &cli.json {
        let report = Report {
            clean: Count { correct, total },
            stages,
            robust: Count { correct: robust, total },
            interval: wilson_interval(robust, total),
            config: cli.config(step_size, held_out, None),
            verification: VerificationRule::default(),
            samples,
        };
        write_whole(path, serde_json::to_string_pretty(&report)?.as_bytes())?;
    }
    Ok(())
}

/// The net as the attacks see it: its own verdicts, and gradients in a precision.
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

/// Attacks all samples with AutoAttack, or with one of its attacks.
fn run_ensemble(
    cli: &Cli,
    ensemble: &AutoAttack,
    replicas: &[Replica<'_>],
    samples: &SampleStream<'_>,
    held_out: Option<HeldOut>,
) -> Outcome {
    let journal = cli.json.as_ref().map(|path| path.with_extension("journal"));
    // Read for the journal alone.
    let weights = match &journal {
        Some(_) => file_hash(&cli.weights)?.sha256,
        None => String::new(),
    };
    let saved = match &journal {
        Some(path) if cli.resume => Journal::read(path, &weights)?,
        _ => None,
    };
    let state = saved.as_ref().map(|journal| journal.state().clone());
    let mut journal = Journal::new(journal, weights, saved);
    let report = match ensemble.evaluate_stream(replicas, samples, state, &mut journal) {
        Ok(report) => report,
        Err(error) => return Err(journal.failure().map_or_else(|| error.into(), Into::into)),
    };
    println!("{report}");
    if let Some(path) = &cli.json {
        let mut value = serde_json::to_value(&report)?;
        value["config"] = serde_json::to_value(cli.config(0.0, held_out, Some(report.config)))?;
        write_whole(path, serde_json::to_string_pretty(&value)?.as_bytes())?;
    }
    if let Some(path) = &cli.save_adversarial {
        save_adversarial(path, samples, &journal)?;
    }
    Ok(journal.remove()?)
}
