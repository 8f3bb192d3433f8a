//! A file beside the report that lets a killed evaluation go on.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn_twins::attack::{self, EvaluationState, JournalWriter, Observer, Outcome, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// Shows an evaluation's progress, and keeps its journal.
pub struct Journal {
    path: Option<PathBuf>,
    weights: String,
    /// The journal of the evaluation that is resumed.
    earlier: Option<attack::Journal>,
    writer: Option<JournalWriter>,
    failed: Option<String>,
    bar: ProgressBar,
}

impl Journal {
    /// Journals an evaluation of the weights with this hash to `path`, or only shows progress. The journal that is resumed,
    /// if there is one, is continued.
    pub fn new(path: Option<PathBuf>, weights: String, earlier: Option<attack::Journal>) -> Self {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent} %, {msg}");
        let bar = ProgressBar::new(1000).with_style(style.expect("the template is fixed"));
        Self { path, weights, earlier, writer: None, failed: None, bar }
    }

    /// What an earlier evaluation has left; none if there is no journal, because the earlier process was killed before it had
    /// begun one.
    ///
    /// # Errors
    /// A journal of other weights than those with this hash is one. Equal clean logits do not make an equal model.
    pub fn read(path: &Path, weights: &str) -> Result<Option<attack::Journal>, Box<dyn std::error::Error>> {
        let Some(journal) = attack::Journal::read(path)? else {
            eprintln!("{}: no journal; starting from the beginning", path.display());
            return Ok(None);
        };
        if journal.tag() != weights {
            return Err(format!(
                "{} is of another model: the evaluation was begun with weights of SHA-256 {}, and --weights has {weights}; \
                 give the same file, or leave out --resume",
                path.display(),
                journal.tag()
            )
            .into());
        }
        Ok(Some(journal))
    }

    /// Reads what has been found, once the evaluation has ended.
    pub fn found(&self) -> Result<Option<attack::Journal>, attack::JournalError> {
        self.path.as_ref().map_or(Ok(None), attack::Journal::read)
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
        self.failed.take()
    }

    fn begin(&mut self, state: &EvaluationState) -> Result<(), String> {
        let Some(path) = &self.path else { return Ok(()) };
        let writer = match &self.earlier {
            Some(journal) => JournalWriter::resume(journal),
            None => JournalWriter::create(path, &self.weights, state),
        };
        self.writer = Some(writer.map_err(|error| error.to_string())?);
        Ok(())
    }

    fn append(&mut self, outcome: &Outcome) -> Result<(), String> {
        let (Some(writer), Some(path)) = (&mut self.writer, &self.path) else { return Ok(()) };
        writer.append(outcome).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    fn flow(&mut self, written: Result<(), String>) -> ControlFlow<()> {
        self.failed = written.err();
        if self.failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
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
