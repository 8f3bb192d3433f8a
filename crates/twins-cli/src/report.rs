//! `twins report`: rebuilds a report from the directories of runs and studies.

use std::path::PathBuf;

use burn_twins::experiment::ReportSources;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser};

use crate::support::Outcome;

/// Makes one report of runs, of the outputs of finetune and train, and of a study, whose shards may be in several directories.
#[derive(Parser, Debug)]
struct Cli {
    /// Directories of runs, directories with runs in them, or directories of one study.
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,

    /// The report; study-results.json of a study is written beside it [default: study.html or report.html in the only directory;
    /// report.html in the current directory for several].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The command line.
pub fn command() -> Command {
    Cli::command().name("report")
}

/// Does what the command line asks for.
pub fn start(matches: &ArgMatches) -> Outcome {
    Cli::from_arg_matches(matches).unwrap_or_else(|error| error.exit()).run()
}

impl Cli {
    fn run(&self) -> Outcome {
        let sources = ReportSources::find(&self.directories)?;
        let out = self.out.clone().unwrap_or_else(|| self.usual(&sources));
        if let Some(results) = sources.write(&out)? {
            println!("{}", results.to_table());
        }
        println!("{} is written", out.display());
        Ok(())
    }

    fn usual(&self, sources: &ReportSources) -> PathBuf {
        match self.directories.as_slice() {
            [only] => only.join(if sources.has_study() { "study.html" } else { "report.html" }),
            _ => PathBuf::from("report.html"),
        }
    }
}
