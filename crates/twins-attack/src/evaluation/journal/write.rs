use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
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
/// Nothing is kept in memory. The file is locked until the value is dropped, so that it has one writer.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    path: PathBuf,
    file: File,
}

impl JournalWriter {
    /// Starts a journal. It replaces an existing one.
    ///
    /// # Errors
    /// [`JournalError::InUse`]; [`JournalError::NotAJournal`] for a file of something else, which is left as it is;
    /// [`JournalError::Io`].
    pub(crate) fn create(path: &Path, tag: &str, identity: &Identity) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { path: path.to_owned(), source };
        // Truncated only under the lock, because another evaluation may write it.
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let mut file = file.map_err(failed)?;
        lock(&file, path)?;
        if !may_be_journal(&mut file).map_err(failed)? {
            return Err(JournalError::NotAJournal { path: path.to_owned() });
        }
        let mut journal = Self { path: path.to_owned(), file };
        let mut write = || {
            let beginning = record(&encode_beginning(tag, identity))?;
            journal.file.set_len(0)?;
            journal.file.seek(SeekFrom::Start(0))?;
            journal.file.write_all(&[&MAGIC[..], &[VERSION], &beginning].concat())
        };
        write().map_err(failed)?;
        Ok(journal)
    }

    /// Continues a journal at its end, without an incomplete last record.
    ///
    /// # Errors
    /// [`JournalError::InUse`], also if another evaluation has written the file since it was read; [`JournalError::Io`].
    pub(crate) fn resume(journal: &Journal) -> Result<Self, JournalError> {
        let path = journal.path().to_owned();
        let failed = |source| JournalError::Io { path: path.clone(), source };
        // Not opened to append: Windows can neither lock nor truncate such a file.
        let mut file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
        lock(&file, &path)?;
        // Truncating a file that has grown since it was read would lose the outcomes of another evaluation.
        if file.metadata().map_err(failed)?.len() != journal.size() {
            return Err(JournalError::InUse { path: path.clone() });
        }
        file.set_len(journal.length()).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        Ok(Self { path, file })
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

/// Whether the file is empty, a journal, or the beginning of one; the first versions wrote JSON.
fn may_be_journal(file: &mut File) -> io::Result<bool> {
    let mut beginning = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut beginning)?;
    Ok(MAGIC.starts_with(&beginning) || beginning.first() == Some(&b'{'))
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: path.to_owned() }),
        // An error means that the file system does not support locks, so the evaluation continues without one.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}
