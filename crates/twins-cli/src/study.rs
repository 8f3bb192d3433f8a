//! `twins study`: compares methods and controls over several seeds.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn_twins::experiment::{
    DeviceChoice, Layer, LeftOutReason, Phase, Shard, Study, StudyConfig, StudyOptions, StudyOutcome,
};
use burn_twins::report::command_line;
use clap::builder::PossibleValue;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::support::output::{note, say};
use crate::support::{Outcome, end_if_lost, printing, stop_on_interrupt};
use crate::training::set;

/// Compares methods and controls over several seeds, as specified in a study file (see docs/studies.md). Running the command again resumes
/// the study.
#[derive(Parser, Debug)]
struct Cli {
    /// The study file (.toml).
    file: PathBuf,

    /// Directory for trials, runs, results and the report; an unfinished study in it is resumed.
    #[arg(long)]
    out: PathBuf,

    /// Run only one shard of the jobs: 1/4 is the first of four.
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    shard: Shard,

    /// Phases to run: the choice of learning rates (trials), training and evaluation with them (runs), or both (all).
    #[arg(long, default_value = "all")]
    phase: PhaseChoice,

    /// A setting for all arms, by its name in a configuration file, such as epochs=2 or data.source=cifar10:data. It overrides
    /// [experiment]; an arm's own settings override it.
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "Settings")]
    settings: Vec<String>,

    /// Print the runs and their settings, and exit. For settings that trials choose, these are those of the arm.
    #[arg(long, help_heading = "Settings")]
    show_config: bool,

    /// Device to compute on; several, separated by commas, run as data-parallel replicas. An arm's own compute.devices
    /// override it [default: the study's, or cpu].
    #[arg(long, value_delimiter = ',', help_heading = "Devices")]
    device: Vec<DeviceChoice>,

    /// Threads of the CPU backends; an arm's own compute.threads override it [default: the study's, or all cores].
    #[arg(long, help_heading = "Devices")]
    threads: Option<usize>,
}

/// Defines the command line.
pub fn command() -> Command {
    Cli::command().name("study")
}

/// Runs the command.
pub fn start(matches: &ArgMatches) -> Outcome {
    Cli::from_arg_matches(matches).unwrap_or_else(|error| error.exit()).run()
}

impl Cli {
    fn run(&self) -> Outcome {
        let study = self.study()?;
        if self.show_config {
            return show(&study);
        }
        let stop = Arc::new(AtomicBool::new(false));
        stop_on_interrupt(&stop)?;
        let _watch = end_if_lost(&devices(&study));
        let options = StudyOptions::new()
            .with_shard(self.shard)
            .with_phase(self.phase.0)
            .with_stop_flag(stop)
            .with_notify(printing());
        let outcome = study.run(&self.out, options)?;
        say!("\n{}\nresults and study.html are in {}", outcome.results.to_table(), self.out.display());
        match (outcome.interrupted, problem(&outcome)) {
            (true, _) => {
                let command = command_line(std::env::args_os());
                Err(format!("stopped, with the state saved; continue with\n    {command}").into())
            }
            (false, Some(problem)) => Err(problem.into()),
            (false, None) => Ok(()),
        }
    }

    fn study(&self) -> Result<Study, Box<dyn std::error::Error>> {
        let mut study = StudyConfig::read(&self.file)?;
        study.experiment.extend(set::layer(&self.settings)?);
        if !self.device.is_empty() {
            study.experiment.push(Layer::setting("--device", "compute.devices", &self.device)?);
        }
        if let Some(threads) = self.threads {
            study.experiment.push(Layer::setting("--threads", "compute.threads", threads)?);
        }
        Ok(study.check()?)
    }
}

/// The jobs that a shard could not run, with a remedy, on one line; `None` if it has run all of them.
fn problem(outcome: &StudyOutcome) -> Option<String> {
    let missing = outcome.missing_trials();
    let left_out = outcome.left_out.len();
    let mut reasons: Vec<String> = Vec::new();
    for left_out in &outcome.left_out {
        let reason = left_out.reason.to_string();
        if !matches!(left_out.reason, LeftOutReason::MissingTrials(_)) && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    if !missing.is_empty() {
        let missing: Vec<String> =
            missing.iter().map(|trial| trial.directory().display().to_string()).collect();
        let of_trials = format!(
            "{left_out} jobs were left out, because the trials that choose their learning rates are not in --out: {}; run the other shards \
             with --phase trials, copy their trials into --out unless they share it, and repeat this command",
            missing.join(", ")
        );
        // Such as the process that works on these trials.
        return Some([of_trials].into_iter().chain(reasons).collect::<Vec<_>>().join("; "));
    }
    (left_out > 0).then(|| format!("{left_out} jobs were left out: {}", reasons.join("; ")))
}

/// The devices of all runs, each once. Settings that are out of range are reported when the study runs.
fn devices(study: &Study) -> Vec<DeviceChoice> {
    let mut devices: Vec<DeviceChoice> = Vec::new();
    for run in study.runs().iter().filter_map(|job| study.experiment(job, None).ok().flatten()) {
        for device in &run.config().compute.devices {
            if !devices.contains(device) {
                devices.push(device.clone());
            }
        }
    }
    devices
}

fn show(study: &Study) -> Outcome {
    for job in study.runs() {
        if let Some(experiment) = study.experiment(&job, None)? {
            note!("{job}: {}", experiment.sources());
            say!("{}", serde_json::to_string_pretty(experiment.config())?);
        }
    }
    Ok(())
}

/// A phase, parsed by its name.
#[derive(Clone, Copy, Debug)]
struct PhaseChoice(Phase);

impl ValueEnum for PhaseChoice {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [PhaseChoice; 3] =
            [PhaseChoice(Phase::Trials), PhaseChoice(Phase::Runs), PhaseChoice(Phase::All)];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self.0 {
            Phase::Trials => "trials",
            Phase::Runs => "runs",
            Phase::All => "all",
        }))
    }
}

#[cfg(test)]
mod tests {
    use burn_twins::experiment::{Candidate, LeftOut, StudyJob, StudyResults};

    use super::*;

    #[test]
    fn the_process_that_works_on_a_missing_trial_is_named() {
        let trial = StudyJob::Trial { arm: "at".to_owned(), candidate: Candidate::of_learning_rate(0.1) };
        let in_use =
            LeftOutReason::InUse { directory: PathBuf::from("out/trials/at/lr-0.1"), process: Some(7) };
        let left_out = vec![
            LeftOut { job: trial.clone(), reason: in_use },
            LeftOut {
                job: StudyJob::Run { arm: "at".to_owned(), seed: 0 },
                reason: LeftOutReason::MissingTrials(vec![trial]),
            },
        ];
        let results = StudyResults {
            name: "x".to_owned(),
            baseline: "at".to_owned(),
            seeds: vec![0],
            metrics: Vec::new(),
            last_metrics: Vec::new(),
            arms: Vec::new(),
            missing: Vec::new(),
        };
        let problem = problem(&StudyOutcome { results, interrupted: false, left_out }).unwrap();
        for part in [
            "2 jobs were left out, because the trials that choose their learning rates are not in --out: trials/at/lr-0.1;",
            "repeat this command; out/trials/at/lr-0.1 is in use by process 7",
        ] {
            assert!(problem.contains(part), "{part}: {problem}");
        }
    }
}
