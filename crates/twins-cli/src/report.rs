//! `twins report`: rebuilds a report from the directories of runs and studies.

use std::path::PathBuf;

use burn_twins::experiment::ReportSources;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser};

use crate::support::Outcome;
use crate::support::output::say;

/// Creates one report from runs, from output directories of finetune and train, and from a study, whose shards may be in several
/// directories.
#[derive(Parser, Debug)]
struct Cli {
    /// Directories of runs, directories that contain runs, or directories of one study.
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,

    /// The report to write; for a study, study-results.json is written next to it [default: study.html or report.html in the directory;
    /// with several directories, report.html in the current directory].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Defines the command line.
pub fn command() -> Command {
    Cli::command().name("report")
}

/// Runs the command.
pub fn start(matches: &ArgMatches) -> Outcome {
    Cli::from_arg_matches(matches).unwrap_or_else(|error| error.exit()).run()
}

impl Cli {
    fn run(&self) -> Outcome {
        let sources = ReportSources::find(&self.directories)?;
        let out = self.out.clone().unwrap_or_else(|| self.usual(&sources));
        if let Some(results) = sources.write(&out)? {
            say!("{}", results.to_table());
        }
        say!("{} is written", out.display());
        Ok(())
    }

    fn usual(&self, sources: &ReportSources) -> PathBuf {
        match self.directories.as_slice() {
            [only] => only.join(if sources.has_study() { "study.html" } else { "report.html" }),
            _ => PathBuf::from("report.html"),
        }
    }
}
