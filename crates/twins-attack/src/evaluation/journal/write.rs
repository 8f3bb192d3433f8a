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

/// Writes a journal: one record that identifies the evaluation, and one record for each [`Outcome`] with its
/// adversarial example.
///
/// Each record is written by one system call, so an interruption of the process damages at most the last record.
/// Nothing is kept in memory.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    path: PathBuf,
    file: File,
}

impl JournalWriter {
    /// Starts a journal. It replaces an existing file.
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

    /// Continues a journal at its end, without an incomplete last record.
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
