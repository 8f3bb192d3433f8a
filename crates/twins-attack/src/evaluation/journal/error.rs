use std::path::PathBuf;

use thiserror::Error;
use twins_files::one_line;

/// What can be wrong with a journal.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error(
        "cannot access the journal {path}: {source}; check that its folder exists, is writable and has space, then resume: \
         the results in the journal are kept", path = path.display()
    )]
    Io {
        /// The journal.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Another evaluation, of this process or of another one, writes the journal.
    #[error(
        "the journal {path} is in use by another evaluation: wait for it, or give another journal", path = path.display()
    )]
    InUse {
        /// The journal.
        path: PathBuf,
    },
    /// The journal has the format of another version of this library. The first versions wrote JSON.
    #[error(
        "{path} is a journal in a format that another version of this library wrote (format {found}, and this version \
         reads format {expected}): start the evaluation anew, or finish it with that version", path = path.display()
    )]
    OtherFormat {
        /// The journal.
        path: PathBuf,
        /// Number of its format; 0 for JSON.
        found: u8,
        /// The format of this version.
        expected: u8,
    },
    /// The journal belongs to another model, according to the tag that the program gave.
    #[error(
        "{path} is of another model: the evaluation was begun with {found}, and this one has {expected}; give the same \
         model, or start anew without resuming",
        path = path.display(), found = one_line(found), expected = one_line(expected)
    )]
    OtherTag {
        /// The journal.
        path: PathBuf,
        /// The tag of the evaluation.
        expected: String,
        /// The tag in the journal.
        found: String,
    },
    /// The file is not a journal.
    #[error("{path} is no journal of an evaluation; give the journal another name", path = path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// A record other than the last one differs from what was written.
    #[error(
        "the journal {path} is damaged at byte {offset} (record {record}), not only torn at its end: start the evaluation \
         anew", path = path.display()
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// Number of the record, from 0.
        record: usize,
        /// Offset in bytes at which the record begins.
        offset: u64,
    },
}
