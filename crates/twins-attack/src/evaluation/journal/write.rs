use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::encoding::{encode_beginning, encode_outcome};
use super::record::record;
use super::{Journal, JournalError, MAGIC};
use crate::evaluation::autoattack::{EvaluationState, Outcome};

/// Writes a journal: a record of what the evaluation is of, and one of each [`Outcome`], with the adversarial example that was
/// found.
///
/// An outcome takes 100 bytes, and four more for each value of its image. Each is written by one call of the system, so
/// that whatever ends the process tears at most the last one. Nothing is kept in memory.
///
/// Write what [`Observer::started`](crate::Observer::started) hands over with [`create`](Self::create), or
/// [`resume`](Self::resume) a journal that was read, and [`append`](Self::append) each
/// [`Observer::outcome`](crate::Observer::outcome).
#[derive(Debug)]
pub struct JournalWriter {
    file: File,
}

impl JournalWriter {
    /// Starts a journal, in place of a file that is there. The tag is the program's own, such as a hash of the weights.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn create(path: impl AsRef<Path>, tag: &str, state: &EvaluationState) -> Result<Self, JournalError> {
        let path = path.as_ref();
        let create = || {
            let mut file = File::create(path)?;
            file.write_all(&[MAGIC, &record(&encode_beginning(tag, state))?[..]].concat())?;
            let mut writer = Self { file };
            state.outcomes.iter().try_for_each(|outcome| writer.append(outcome))?;
            Ok(writer)
        };
        create().map_err(|source| JournalError::Io { path: path.to_owned(), source })
    }

    /// Continues a journal where it ends, without a last record that was torn.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn resume(journal: &Journal) -> Result<Self, JournalError> {
        let open = || {
            let file = OpenOptions::new().append(true).open(journal.path())?;
            file.set_len(journal.length())?;
            Ok(Self { file })
        };
        open().map_err(|source| JournalError::Io { path: journal.path().to_owned(), source })
    }

    /// Writes an outcome.
    ///
    /// # Errors
    /// Those of the system.
    pub fn append(&mut self, outcome: &Outcome) -> io::Result<()> {
        self.file.write_all(&record(&encode_outcome(outcome))?)
    }
}
