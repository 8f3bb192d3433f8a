use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::encoding::{encode_beginning, encode_outcome};
use super::error::JournalError;
use super::read::Journal;
use super::record::record;
use super::{MAGIC, VERSION};
use crate::evaluation::identity::Identity;
use crate::evaluation::outcome::Outcome;

/// Writes a journal: a record of what the evaluation is of, and one of each [`Outcome`], with its adversarial example.
///
/// Each record is written by one call of the system, so that whatever ends the process tears at most the last one. Nothing
/// is kept in memory.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    path: PathBuf,
    file: File,
}

impl JournalWriter {
    /// Starts a journal, in place of a file that is there.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub(crate) fn create(path: &Path, tag: &str, identity: &Identity) -> Result<Self, JournalError> {
        let create = || {
            let mut file = File::create(path)?;
            let beginning = record(&encode_beginning(tag, identity))?;
            file.write_all(&[&MAGIC[..], &[VERSION], &beginning].concat())?;
            Ok(Self { path: path.to_owned(), file })
        };
        create().map_err(|source| JournalError::Io { path: path.to_owned(), source })
    }

    /// Continues a journal where it ends, without a last record that was torn.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub(crate) fn resume(journal: &Journal) -> Result<Self, JournalError> {
        let path = journal.path().to_owned();
        let open = || {
            let file = OpenOptions::new().append(true).open(journal.path())?;
            file.set_len(journal.length())?;
            Ok(file)
        };
        match open() {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(JournalError::Io { path, source }),
        }
    }

    /// Writes an outcome.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub(crate) fn append(&mut self, outcome: &Outcome) -> Result<(), JournalError> {
        let written = record(&encode_outcome(outcome)).and_then(|bytes| self.file.write_all(&bytes));
        written.map_err(|source| JournalError::Io { path: self.path.clone(), source })
    }
}
