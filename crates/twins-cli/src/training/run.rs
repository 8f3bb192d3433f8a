use std::path::{Path, PathBuf};

use burn_twins::data::DataSource;
use burn_twins::experiment::{Experiment, Outcome as RunOutcome, RunDirectory, RunOptions};
use burn_twins::models::{Architecture, HeldOut};
use burn_twins::report::{RunRecord, TestedCheckpoint};
use burn_twins::train::{EffectiveConfig, EpochMetrics, Evaluation, EvaluationProtocol, Method};
use serde::Serialize;

use super::TrainingOptions;
use super::resume::resume_command;
use crate::support::{Outcome, printing, stop_on_interrupt};

/// Experiments that are run one after the other, each in its directory below one.
pub struct Job<'a> {
    options: &'a TrainingOptions,
    out: PathBuf,
    directories: Vec<PathBuf>,
}

impl<'a> Job<'a> {
    /// Checks that the directories of the experiments are free, or may be resumed or overwritten, before anything takes time, and
    /// lets Ctrl-C stop them.
    pub fn begin(
        options: &'a TrainingOptions,
        out: PathBuf,
        experiments: &[(String, &Experiment)],
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let directories: Vec<PathBuf> = experiments.iter().map(|(name, _)| out.join(name)).collect();
        let others = other_runs(&out, &directories);
        if let (Some((directory, found)), false) = (others.first(), options.force) {
            return Err(format!(
                "{} holds another run ({}); add its method, delete it with --force, or give another --out",
                out.display(),
                directory.path().join(found).strip_prefix(&out).unwrap_or(directory.path()).display()
            )
            .into());
        }
        let runs =
            directories.iter().map(RunDirectory::new).chain(others.iter().map(|(other, _)| other.clone()));
        let weights =
            experiments.iter().find_map(|(_, experiment)| experiment.config().model.weights.as_deref());
        for run in runs {
            run.check(options.existing(), weights)?;
        }
        for (other, _) in &others {
            other.delete()?;
        }
        stop_on_interrupt(&options.stop)?;
        Ok(Self { options, out, directories })
    }

    /// Runs an experiment; an interrupted one is an error that says how it is resumed.
    pub fn run(&self, name: &str, experiment: &Experiment) -> Result<RunOutcome, Box<dyn std::error::Error>> {
        let options = RunOptions::new()
            .with_existing(self.options.existing())
            .with_stop_flag(self.options.stop.clone())
            .with_notify(printing())
            .with_report(self.out.join("report.html"), self.directories.clone());
        let outcome = experiment.run(self.out.join(name), options)?;
        if outcome.is_interrupted() {
            let command = resume_command(std::env::args_os(), &self.out);
            return Err(format!("stopped, with the state saved; continue with\n    {command}").into());
        }
        Ok(outcome)
    }
}

/// The runs below a directory that are not among these, each with a file of it.
fn other_runs(out: &Path, own: &[PathBuf]) -> Vec<(RunDirectory, &'static str)> {
    let below = std::fs::read_dir(out).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut others: Vec<_> = below.filter(|path| !own.contains(path)).collect();
    others.sort();
    let runs = others.into_iter().map(RunDirectory::new);
    runs.filter_map(|run| run.holds().map(|found| (run, found))).collect()
}

/// The results of experiments on the same data, which are measured alike.
pub struct Results {
    rows: Vec<Row>,
    report: ReportHead,
}

#[derive(Serialize)]
struct Row {
    method: Method,
    /// `null` without a validation.
    best_epoch: Option<usize>,
    /// Which checkpoint is the result.
    checkpoint: Option<TestedCheckpoint>,
    test: Evaluation,
    /// Of the last checkpoint, where `evaluation.last` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Evaluation>,
    /// How the robust accuracy of the test was measured.
    protocol: EvaluationProtocol,
    seconds: f64,
    /// Of the training.
    waiting_share: f64,
}

#[derive(Serialize)]
struct ReportHead {
    data: DataSource,
    arch: Architecture,
    weights: Option<PathBuf>,
    head: String,
    held_out: Option<HeldOut>,
    /// The number of images of the data's own validation part.
    validation_images: Option<usize>,
    config: EffectiveConfig,
}

#[derive(Serialize)]
struct JsonReport<'a> {
    #[serde(flatten)]
    head: &'a ReportHead,
    results: &'a [Row],
}

impl Results {
    /// The results of the first experiment; `weights` are those that the user gave.
    pub fn new(
        experiment: &Experiment,
        outcome: &RunOutcome,
        weights: Option<PathBuf>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let config = experiment.config();
        let inputs = &outcome.inputs;
        let report = ReportHead {
            data: config.data.source.clone(),
            arch: outcome.model.architecture(),
            weights,
            head: inputs.head.clone(),
            held_out: inputs.held_out.clone(),
            validation_images: inputs.images.validation,
            config: outcome.settings.training.effective()?,
        };
        Ok(Self { rows: vec![Row::new(experiment, outcome)?], report })
    }

    /// Adds the results of another one.
    pub fn add(&mut self, experiment: &Experiment, outcome: &RunOutcome) -> Outcome {
        self.rows.push(Row::new(experiment, outcome)?);
        Ok(())
    }

    /// Prints the table, and writes `report.json`.
    pub fn finish(&self, out: &Path) -> Outcome {
        self.print_table();
        let json = JsonReport { head: &self.report, results: &self.rows };
        let text = serde_json::to_string_pretty(&json)? + "\n";
        twins_files::write_whole(out.join("report.json"), text.as_bytes())?;
        println!("models, metrics and report.html are in {}", out.display());
        Ok(())
    }

    fn print_table(&self) {
        let Some(Row { protocol, test, .. }) = self.rows.first() else { return };
        println!("\n{} test images, {protocol}", test.clean.total);
        let attack = protocol.attack();
        println!(
            "{:<14} {:>9} {attack:>9} {:>11} {:>9} {:>9}",
            "method", "clean", "best epoch", "seconds", "waiting"
        );
        for Row { method, best_epoch, test, last, seconds, waiting_share, .. } in &self.rows {
            println!(
                "{:<14} {:>7.2} % {:>7.2} % {:>11} {:>9.1} {:>7.1} %",
                method.name(),
                test.clean.percent(),
                test.robust.unwrap_or_default().percent(),
                best_epoch.map_or("none: last".to_owned(), |epoch| epoch.to_string()),
                seconds,
                100.0 * waiting_share
            );
            if let Some(last) = last {
                println!(
                    "{:<14} {:>7.2} % {:>7.2} % {:>11}",
                    "",
                    last.clean.percent(),
                    last.robust.unwrap_or_default().percent(),
                    "last"
                );
            }
        }
        println!();
    }
}

impl Row {
    fn new(experiment: &Experiment, outcome: &RunOutcome) -> Result<Self, Box<dyn std::error::Error>> {
        let RunRecord { best, checkpoint, history, provenance, .. } = &outcome.record;
        let total = |field: fn(&EpochMetrics) -> f64| history.iter().map(field).sum::<f64>();
        Ok(Self {
            method: experiment.config().training.method,
            best_epoch: best.map(|best| best.epoch),
            checkpoint: *checkpoint,
            test: outcome.test,
            last: outcome.last,
            protocol: experiment.test_protocol()?,
            seconds: provenance.seconds,
            waiting_share: total(|epoch| epoch.seconds_waiting) / total(|epoch| epoch.seconds).max(1e-9),
        })
    }
}
