//! A file in which an evaluation keeps what it has found, so that it can be resumed.

mod encoding;
pub(crate) mod error;
pub(crate) mod place;
pub(crate) mod read;
mod record;
pub(crate) mod write;

/// What a journal begins with, in every version of the format.
const MAGIC: &[u8; 7] = b"TWINSEJ";

/// The version of the format, in the byte behind it.
const VERSION: u8 = 2;

/// Bytes of both.
const PREAMBLE: usize = MAGIC.len() + 1;
