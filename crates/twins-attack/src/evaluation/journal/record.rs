use std::io::{self, ErrorKind, Read};

use crate::hash::Hash;

/// Bytes in front of a payload: its length, a check of the length, and the payload's hash.
pub(super) const HEADER: usize = 16;

/// A payload with its header, to be written at once.
///
/// # Errors
/// A payload of 4 GiB or more is one.
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

/// What follows in a file.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// A record, whose payload is in the buffer.
    Record,
    /// The end of the file, or a record that is not there in full because the process that wrote it ended.
    End,
    /// Something else than was written.
    Damaged,
}

/// Reads a record's payload into a buffer; `rest` is the number of bytes to the end of the file.
pub(super) fn next(file: &mut impl Read, rest: u64, payload: &mut Vec<u8>) -> io::Result<Next> {
    let mut header = [0; HEADER];
    if rest < HEADER as u64 || !filled(file, &mut header)? {
        return Ok(Next::End);
    }
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (length, expected) = (word(0), u64::from(word(8)) | u64::from(word(12)) << 32);
    if word(4) != check(length) {
        // A file system may fill the end of a file with zeros where the machine went down.
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
    // The last record may be torn in whatever way.
    Ok(match hash(payload) == expected {
        true => Next::Record,
        false if end == rest => Next::End,
        false => Next::Damaged,
    })
}

/// Whether nothing but zeros follows.
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

/// Fills the buffer; whether the file had as much.
pub(super) fn filled(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tells a length from other bytes.
fn check(length: u32) -> u32 {
    length.wrapping_mul(0x9e37_79b1) ^ 0x5457_494e
}

fn hash(payload: &[u8]) -> u64 {
    let mut hash = Hash::new();
    hash.bytes(payload);
    hash.value()
}
