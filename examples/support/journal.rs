//! A file beside the report that lets a killed evaluation go on.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn_twins::attack::{EvaluationState, Observer, Outcome, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

/// Shows an evaluation's progress, and appends every outcome to a file: the first line is the state at the
/// start, each further line an outcome.
pub struct Journal {
    path: Option<PathBuf>,
    weights: String,
    file: Option<File>,
    failed: Option<std::io::Error>,
    bar: ProgressBar,
}

/// The first line: what the evaluation is of.
#[derive(Serialize, Deserialize)]
struct Beginning {
    /// Hash of the weights' file. Equal clean logits, which the state has, do not make an equal model.
    weights: String,
    state: EvaluationState,
}

impl Journal {
    /// Journals an evaluation of the weights with this hash to `path`, or only shows progress.
    pub fn new(path: Option<PathBuf>, weights: String) -> Self {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent} %, {msg}");
        let bar = ProgressBar::new(1000).with_style(style.expect("the template is fixed"));
        Self { path, weights, file: None, failed: None, bar }
    }

    /// The state that an earlier journal holds; none if there is no journal, because the earlier process was killed
    /// before it had anything to tell. A last line that was torn by the end of its process is dropped.
    ///
    /// # Errors
    /// A journal of other weights than those with this hash is one.
    pub fn read(path: &Path, weights: &str) -> Result<Option<EvaluationState>, Box<dyn std::error::Error>> {
        let open = match File::open(path) {
            Ok(open) => open,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("{}: no such file; starting from the beginning", path.display());
                return Ok(None);
            }
            Err(error) => return Err(format!("cannot read {}: {error}", path.display()).into()),
        };
        let mut lines = BufReader::new(open).lines();
        let first =
            lines.next().ok_or_else(|| format!("{} is empty; leave out --resume", path.display()))??;
        let Beginning { weights: begun, mut state } = serde_json::from_str(&first)
            .map_err(|error| format!("{} is no journal of an evaluation: {error}", path.display()))?;
        if begun != weights {
            return Err(format!(
                "{} is of another model: the evaluation was begun with weights of SHA-256 {begun}, and --weights has \
                 {weights}; give the same file, or leave out --resume",
                path.display()
            )
            .into());
        }
        for line in lines {
            match serde_json::from_str(&line?) {
                Ok(outcome) => state.outcomes.push(outcome),
                Err(_) => break,
            }
        }
        Ok(Some(state))
    }

    /// Ends the journal: the report has been written.
    pub fn remove(self) -> std::io::Result<()> {
        self.bar.finish_and_clear();
        match self.path {
            Some(path) => std::fs::remove_file(path),
            None => Ok(()),
        }
    }

    /// What went wrong with writing, if that is what ended the evaluation.
    pub fn failure(&mut self) -> Option<String> {
        let (error, path) = (self.failed.take()?, self.path.as_ref()?);
        Some(format!("cannot write {}: {error}", path.display()))
    }

    fn flow(&mut self, written: std::io::Result<()>) -> ControlFlow<()> {
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn begin(&mut self, state: &EvaluationState) -> std::io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let start = EvaluationState { outcomes: Vec::new(), ..state.clone() };
        let beginning = Beginning { weights: self.weights.clone(), state: start };
        let mut text = serde_json::to_string(&beginning)? + "\n";
        for outcome in &state.outcomes {
            text += &(serde_json::to_string(outcome)? + "\n");
        }
        twins_files::write_whole(path, text.as_bytes())?;
        self.file = Some(OpenOptions::new().append(true).open(path)?);
        Ok(())
    }

    fn append(&mut self, outcome: &Outcome) -> std::io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all((serde_json::to_string(outcome)? + "\n").as_bytes())
    }
}

impl Observer for Journal {
    fn started(&mut self, state: &EvaluationState) -> ControlFlow<()> {
        let written = self.begin(state);
        self.flow(written)
    }

    fn outcome(&mut self, outcome: &Outcome) -> ControlFlow<()> {
        let written = self.append(outcome);
        self.flow(written)
    }

    fn progress(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        let Progress { attack, stage, finished, standing, share, elapsed } = progress;
        self.bar.set_prefix(format!("{attack} ({}/{})", stage.0 + 1, stage.1));
        self.bar.set_position((share * 1000.0) as u64);
        let left = match *share > 0.0 {
            true => {
                indicatif::HumanDuration(std::time::Duration::from_secs_f64(elapsed * (1.0 - share) / share))
                    .to_string()
            }
            false => "unknown time".to_owned(),
        };
        self.bar.set_message(format!(
            "{}/{} attacked, {} standing, robust accuracy so far {:.2} %, at most {left} left",
            finished.0,
            finished.1,
            standing.0,
            100.0 * standing.0 as f64 / standing.1 as f64
        ));
        ControlFlow::Continue(())
    }
}
