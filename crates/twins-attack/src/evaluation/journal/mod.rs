//! The journal: a file in which an evaluation saves its results, so that it can be resumed.

mod encoding;
pub(crate) mod error;
pub(crate) mod place;
pub(crate) mod read;
mod record;
pub(crate) mod write;

/// The first bytes of a journal, in every version of the format.
const MAGIC: &[u8; 7] = b"TWINSEJ";

/// The version of the format, in the byte after `MAGIC`.
const VERSION: u8 = 2;

/// The number of bytes of `MAGIC` and the version.
const PREAMBLE: usize = MAGIC.len() + 1;
