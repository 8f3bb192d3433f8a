//! A file in which an evaluation keeps what it has found, so that it can be resumed.

mod encoding;
mod error;
mod read;
mod record;
mod write;

pub use error::JournalError;
pub use read::Journal;
pub use write::JournalWriter;

/// What a journal begins with; the last byte numbers the format.
const MAGIC: &[u8; 8] = b"TWINSEJ\x01";
