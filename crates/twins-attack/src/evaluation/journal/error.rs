use std::path::PathBuf;

use thiserror::Error;

/// What can be wrong with a journal.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("cannot access the journal {path}: {source}", path = path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The journal is of a version that wrote JSON.
    #[error(
        "{path} is a journal in JSON, which an earlier version wrote and this one does not read: start the evaluation \
         anew, or finish it with that version", path = path.display()
    )]
    OldFormat {
        /// The journal.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{path} is no journal of an evaluation", path = path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// A record that is not the last one has other bytes than were written.
    #[error(
        "the journal {path} is damaged at byte {offset} (record {record}), not only torn at its end: start the evaluation \
         anew", path = path.display()
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// Number of the record, from 0.
        record: usize,
        /// Where the record begins.
        offset: u64,
    },
}
