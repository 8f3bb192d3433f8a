use std::io::{self, ErrorKind, Read};

use crate::hash::Hash;

/// The number of bytes before a payload: its length, a check of the length, and the payload's hash.
pub(super) const HEADER: usize = 16;

/// Builds a record, a payload with its header, which is to be written at once.
///
/// # Errors
/// An error if the payload has 4 GiB or more.
pub(super) fn record(payload: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(payload.len()).map_err(|_| {
        let text = format!("a record of {} bytes is too long for a journal", payload.len());
        io::Error::new(ErrorKind::InvalidInput, text)
    })?;
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend(length.to_le_bytes());
    bytes.extend(check(length).to_le_bytes());
    bytes.extend(hash(payload).to_le_bytes());
    bytes.extend(payload);
    Ok(bytes)
}

/// What follows in the file.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// A record, whose payload is in the buffer.
    Record,
    /// The end of the file, or an incomplete record, because the process that wrote it ended.
    End,
    /// Bytes that differ from what was written.
    Damaged,
}

/// Reads a record's payload into a buffer. `rest` is the number of bytes to the end of the file.
pub(super) fn next(file: &mut impl Read, rest: u64, payload: &mut Vec<u8>) -> io::Result<Next> {
    let mut header = [0; HEADER];
    if rest < HEADER as u64 || !filled(file, &mut header)? {
        return Ok(Next::End);
    }
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (length, expected) = (word(0), u64::from(word(8)) | u64::from(word(12)) << 32);
    if word(4) != check(length) {
        // After a crash of the machine, a file system may fill the end of a file with zeros.
        return Ok(if header == [0; HEADER] && zeros(file)? { Next::End } else { Next::Damaged });
    }
    let end = HEADER as u64 + u64::from(length);
    if end > rest {
        return Ok(Next::End);
    }
    payload.resize(length as usize, 0);
    if !filled(file, payload)? {
        return Ok(Next::End);
    }
    // The last record may be incomplete in any way.
    Ok(match hash(payload) == expected {
        true => Next::Record,
        false if end == rest => Next::End,
        false => Next::Damaged,
    })
}

/// Returns whether only zeros follow.
fn zeros(file: &mut impl Read) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(true),
            n if buffer[..n].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

/// Fills the buffer. Returns whether the file had enough bytes.
pub(super) fn filled(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A checksum that distinguishes a length from other bytes.
fn check(length: u32) -> u32 {
    length.wrapping_mul(0x9e37_79b1) ^ 0x5457_494e
}

fn hash(payload: &[u8]) -> u64 {
    let mut hash = Hash::new();
    hash.bytes(payload);
    hash.value()
}
