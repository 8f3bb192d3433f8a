use std::error::Error;
use std::path::{Path, PathBuf};

use burn_twins::data::DataSource;
use burn_twins::experiment::{Experiment, Outcome as RunOutcome, RunDirectory, RunOptions};
use burn_twins::models::{Architecture, HeldOut};
use burn_twins::report::{RunRecord, TestedCheckpoint};
use burn_twins::train::{
    Accuracy, EffectiveConfig, EpochMetrics, Evaluation, EvaluationProtocol, ExistingRun, Method,
};
use serde::Serialize;

use super::TrainingOptions;
use super::resume::resume_command;
use crate::support::output::{say, write};
use crate::support::{Outcome, end_if_lost, printing, stop_on_interrupt};

/// Trains and evaluates for `twins COMMAND`: the run is in `--out/METHOD`, and `report.html` and `report.json` are in `--out`.
pub fn run(options: &TrainingOptions, command: &str, experiment: &Experiment) -> Outcome {
    let out = options.directory(command);
    let results = out.join("report.json");
    let directory = run_directory(&out, experiment);
    say!("settings: {}; whole in {}", experiment.sources(), directory.join("config.json").display());
    let replaced = replaced(options, &out, &directory, experiment.config().model.weights.as_deref())?;
    stop_on_interrupt(&options.stop)?;
    let _watch = end_if_lost(&experiment.config().compute.devices);
    let run = RunOptions::new()
        .with_existing(options.existing())
        .with_replaced(replaced)
        .with_outdated(vec![results.clone()])
        .with_stop_flag(options.stop.clone())
        .with_notify(printing())
        .with_report(out.join("report.html"), vec![directory.clone()]);
    let outcome = experiment.run(&directory, run).inspect_err(|_| {
        // The directory above it was made for this run. One that holds anything cannot be removed.
        if options.out.is_none() {
            let _ = std::fs::remove_dir(&out);
        }
    })?;
    if outcome.is_interrupted() {
        let command = resume_command(std::env::args_os(), &out);
        return Err(format!("stopped, with the state saved; continue with\n    {command}").into());
    }
    let report = JsonReport::new(experiment, &outcome)?;
    report.result.print();
    let text = serde_json::to_string_pretty(&report)? + "\n";
    write(&results, &text)?;
    say!("model, metrics and report.html are in {}", out.display());
    Ok(())
}

/// The directory of a run in `--out`.
pub fn run_directory(out: &Path, experiment: &Experiment) -> PathBuf {
    out.join(experiment.config().training.method.name())
}

/// Checks, before any long computation, that the directory of the run is unused, or may be resumed or overwritten. Returns the runs of other
/// methods in the same output directory, which are deleted with `--force` and are an error otherwise.
fn replaced(
    options: &TrainingOptions,
    out: &Path,
    directory: &Path,
    weights: Option<&Path>,
) -> Result<Vec<RunDirectory>, Box<dyn Error>> {
    let others = other_runs(out, directory);
    if let (Some((other, found)), false) = (others.first(), options.force) {
        return Err(format!(
            "{} holds another run ({}); delete it with --force, or give another --out",
            out.display(),
            other.path().join(found).strip_prefix(out).unwrap_or(other.path()).display()
        )
        .into());
    }
    // A run that still reads its data has none of these files, but it is locked.
    for other in runs_of_other_methods(out, directory) {
        other.check(ExistingRun::Overwrite, None)?;
    }
    let others: Vec<RunDirectory> = others.into_iter().map(|(other, _)| other).collect();
    for run in std::iter::once(&RunDirectory::new(directory)).chain(&others) {
        run.check(options.existing(), weights)?;
    }
    Ok(others)
}

/// The runs of all methods in a directory except `own`, each with the name of a file that it holds. Other folders are no runs of this
/// directory, even if they hold files of the same names, such as a model of another program.
fn other_runs(out: &Path, own: &Path) -> Vec<(RunDirectory, &'static str)> {
    runs_of_other_methods(out, own).filter_map(|run| run.holds().map(|found| (run, found))).collect()
}

/// The directories in `out` for the runs of all methods except `own`, which need not exist.
fn runs_of_other_methods(out: &Path, own: &Path) -> impl Iterator<Item = RunDirectory> {
    let paths = Method::ALL.iter().map(move |method| out.join(method.name()));
    paths.filter(move |path| path != own).map(RunDirectory::new)
}

/// The content of `report.json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JsonReport {
    /// The data.
    data: DataSource,
    /// The architecture.
    arch: Architecture,
    /// The file of initial weights; `None` if they were drawn from the seed.
    weights: Option<PathBuf>,
    /// The treatment of the head: `kept`, `new`, or `random` without weights.
    head: String,
    /// The split that selected the test images; `None` if the data has a test part of its own.
    held_out: Option<HeldOut>,
    /// The number of images of the data's own validation part; `None` if it has none.
    validation_images: Option<usize>,
    /// The settings of the training, with the values that are derived from them.
    config: EffectiveConfig,
    /// The result.
    result: RunResult,
}

/// The result of a training.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "TrainingResult"))]
struct RunResult {
    /// The method.
    method: Method,
    /// The best epoch, from 1; `None` without validation.
    best_epoch: Option<usize>,
    /// The checkpoint that is the result; `None` if nothing was measured.
    checkpoint: Option<TestedCheckpoint>,
    /// Accuracies on the test images.
    test: Evaluation,
    /// Accuracies of the last checkpoint on the test images, if `evaluation.last` enables it.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Evaluation>,
    /// How the robust accuracy of the test was measured.
    protocol: EvaluationProtocol,
    /// The duration of training and measuring in seconds, including the time before a resumption.
    seconds: f64,
    /// The fraction of the training time spent waiting for data.
    waiting_fraction: f64,
}

impl JsonReport {
    fn new(experiment: &Experiment, outcome: &RunOutcome) -> Result<Self, Box<dyn Error>> {
        let config = experiment.config();
        let inputs = &outcome.inputs;
        Ok(Self {
            data: config.data.source.clone(),
            arch: outcome.model.architecture(),
            weights: config.model.weights.clone(),
            head: inputs.head.clone(),
            held_out: inputs.held_out.clone(),
            validation_images: inputs.images.validation,
            config: outcome.settings.training.effective()?,
            result: RunResult::new(experiment, outcome)?,
        })
    }
}

impl RunResult {
    fn new(experiment: &Experiment, outcome: &RunOutcome) -> Result<Self, Box<dyn Error>> {
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
            waiting_fraction: total(|epoch| epoch.seconds_waiting) / total(|epoch| epoch.seconds).max(1e-9),
        })
    }

    fn print(&self) {
        say!("\n{}\n", self.table());
    }

    /// The accuracies in a row for each measured checkpoint.
    fn table(&self) -> String {
        let Self { method, best_epoch, checkpoint, test, last, protocol, seconds, waiting_fraction, .. } =
            self;
        let title = match test.clean.total {
            0 => "not measured on test images".to_owned(),
            images => format!("{images} test images, {protocol}"),
        };
        let attack = protocol.attack();
        let checkpoint = match (best_epoch, checkpoint) {
            (Some(epoch), _) => epoch.to_string(),
            (None, Some(TestedCheckpoint::Averaged)) => "averaged".to_owned(),
            (None, Some(_)) => "none: last".to_owned(),
            (None, None) => "none".to_owned(),
        };
        let heading = format!(
            "{:<14} {:>9} {attack:>9} {:>11} {:>9} {:>9}",
            "method", "clean", "best epoch", "seconds", "waiting"
        );
        let row = |name: &str, Evaluation { clean, robust }: &Evaluation, checkpoint: &str| {
            let (clean, robust) = (percent(Some(*clean)), percent(*robust));
            format!("{name:<14} {clean:>9} {robust:>9} {checkpoint:>11}")
        };
        let result = row(method.name(), test, &checkpoint);
        let result = format!("{result} {seconds:>9.1} {:>7.1} %", 100.0 * waiting_fraction);
        let last = last.as_ref().map(|last| row("", last, "last"));
        [title, heading, result].into_iter().chain(last).collect::<Vec<_>>().join("\n")
    }
}

/// An accuracy in per cent, or a dash if no images were measured.
fn percent(accuracy: Option<Accuracy>) -> String {
    match accuracy.filter(|accuracy| accuracy.total > 0) {
        Some(accuracy) => format!("{:.2} %", accuracy.percent()),
        None => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use burn_twins::attack::{Norm, ThreatModel};

    use super::*;

    fn result(test: Evaluation, last: Option<Evaluation>, best_epoch: Option<usize>) -> RunResult {
        let threat = ThreatModel::new(Norm::Linf, 8.0 / 255.0).unwrap();
        RunResult {
            method: Method::At,
            best_epoch,
            checkpoint: None,
            test,
            last,
            protocol: EvaluationProtocol::new(threat, 20),
            seconds: 12.34,
            waiting_fraction: 0.125,
        }
    }

    fn evaluation(clean: usize, robust: usize) -> Evaluation {
        let accuracy = |correct| Accuracy { correct, total: 200 };
        Evaluation { clean: accuracy(clean), robust: Some(accuracy(robust)) }
    }

    #[test]
    fn the_table_has_the_accuracies_of_each_checkpoint() {
        let (best, last) = (evaluation(200, 91), evaluation(180, 80));
        let expected = "200 test images, PGD-20 Linf 8/255\n\
                        method             clean    PGD-20  best epoch   seconds   waiting\n\
                        at              100.00 %   45.50 %           2      12.3    12.5 %\n\
                        \x20                90.00 %   40.00 %        last";
        assert_eq!(result(best, Some(last), Some(2)).table(), expected);
        let of = |checkpoint| RunResult { checkpoint, ..result(best, None, None) }.table();
        assert!(of(Some(TestedCheckpoint::Averaged)).contains(" averaged "));
        assert!(of(Some(TestedCheckpoint::Last)).contains(" none: last "));
        assert!(of(None).contains(" none "));
    }

    #[test]
    fn a_training_that_is_not_tested_has_no_accuracy() {
        let none = Evaluation { clean: Accuracy::default(), robust: None };
        let expected = "not measured on test images\n\
                        method             clean    PGD-20  best epoch   seconds   waiting\n\
                        at                     –         –           2      12.3    12.5 %";
        assert_eq!(result(none, None, Some(2)).table(), expected);
    }
}
