//! The program `twins`: adversarial fine-tuning and robustness evaluation from the command line.
//!
//! ```sh
//! cargo install --path crates/twins-cli
//! twins finetune --help
//! ```
//!
//! The exit status is 0 if the command succeeds, 1 if it fails (the error is printed on one line of standard error),
//! 2 if the command line is invalid, and 130 or 143 if a second Ctrl-C or SIGTERM ends a training or study at once.

mod convert;
mod evaluate;
mod finetune;
#[cfg(test)]
mod reference;
mod report;
#[cfg(feature = "remote")]
mod serve;
mod show;
mod study;
mod support;
mod train;
mod training;

use std::process::ExitCode;

use burn_twins::models::Architecture;
use burn_twins::train::Method;
use clap::{Arg, ArgMatches, Command};
use support::Outcome;
use support::output::{finish, note};
use twins_files::escaped;

/// A command of `twins`.
struct Subcommand {
    command: fn() -> Command,
    start: fn(&ArgMatches) -> Outcome,
}

const FINETUNE: Subcommand = Subcommand { command: finetune::command, start: finetune::start };
const TRAIN: Subcommand = Subcommand { command: train::command, start: train::start };
const EVALUATE: Subcommand = Subcommand { command: evaluate::command, start: evaluate::start };
const CONVERT: Subcommand = Subcommand { command: convert::command, start: convert::start };
const STUDY: Subcommand = Subcommand { command: study::command, start: study::start };
const REPORT: Subcommand = Subcommand { command: report::command, start: report::start };
#[cfg(feature = "remote")]
const SERVE: Subcommand = Subcommand { command: serve::command, start: serve::start };

const SUBCOMMANDS: &[Subcommand] = &[
    FINETUNE,
    TRAIN,
    EVALUATE,
    CONVERT,
    STUDY,
    REPORT,
    #[cfg(feature = "remote")]
    SERVE,
];

/// Runs the program `twins` with all its commands.
pub fn twins() -> ExitCode {
    let matches = program().get_matches();
    let chosen = matches.subcommand().and_then(|(name, matches)| {
        SUBCOMMANDS.iter().find(|sub| (sub.command)().get_name() == name).map(|sub| (sub, matches))
    });
    match chosen {
        Some((subcommand, matches)) => exit((subcommand.start)(matches)),
        None => ExitCode::FAILURE,
    }
}

/// Runs `twins finetune` as a standalone program.
pub fn finetune() -> ExitCode {
    only(&FINETUNE)
}

/// Runs `twins train` as a standalone program.
pub fn train() -> ExitCode {
    only(&TRAIN)
}

/// Runs `twins study` as a standalone program.
pub fn study() -> ExitCode {
    only(&STUDY)
}

/// Runs `twins evaluate` as a standalone program.
pub fn evaluate() -> ExitCode {
    only(&EVALUATE)
}

/// Runs `twins convert` as a standalone program.
pub fn convert() -> ExitCode {
    only(&CONVERT)
}

fn program() -> Command {
    Command::new("twins")
        .about("Adversarial fine-tuning with TWINS, and robustness evaluation of any classifier")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(SUBCOMMANDS.iter().map(|subcommand| (subcommand.command)()))
}

fn only(subcommand: &Subcommand) -> ExitCode {
    exit((subcommand.start)(&(subcommand.command)().get_matches()))
}

/// Adds the default and the list of methods to the help of `--method`.
fn method_help(arg: Arg, default: Method) -> Arg {
    let lines: Vec<String> =
        Method::ALL.iter().map(|method| format!("- {method}: {}", method.description())).collect();
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let help = format!("{help} [default: {default}]");
    let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
    arg.help(format!("{help}: {}", names.join(", "))).long_help(format!("{help}\n\n{}", lines.join("\n")))
}

/// Adds the names of the architectures to the help of `--arch`.
fn arch_help(arg: Arg) -> Arg {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let names: Vec<&str> = Architecture::known_names().collect();
    arg.help(format!("{help}: {}", names.join(", ")))
}

/// Returns the exit status of an outcome; prints an error on one line, unless it is a list. Names from files cannot act on the terminal.
fn exit(outcome: Outcome) -> ExitCode {
    match outcome.and_then(|()| finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note!("error: {}", escaped(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lines_are_consistent() {
        program().debug_assert();
    }

    /// Of the default features: `serve` is a command of another one.
    #[cfg(not(feature = "remote"))]
    #[test]
    fn the_reference_of_the_command_line_is_that_of_the_code() {
        let options = clap_markdown::MarkdownOptions::new()
            .title("Command line".to_owned())
            .show_footer(false)
            .show_table_of_contents(false);
        let expected =
            clap_markdown::help_markdown_command_custom(&program(), &options).trim_end().to_owned() + "\n";
        twins_testing::check_page("docs/reference/command-line.md", &expected);
    }
}
