//! Locates the pickle in PyTorch's ZIP archive.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom};

/// Signatures of the records of an archive (PKWARE's APPNOTE.TXT, 4.3).
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const DIRECTORY: &[u8] = b"PK\x01\x02";

/// The directory of a checkpoint has one entry of about 100 bytes per tensor.
const LARGEST_DIRECTORY: u64 = 64 << 20;

/// Compression methods.
pub(super) const STORED: u16 = 0;
pub(super) const DEFLATED: u16 = 8;

/// The position of the pickle in an archive.
pub(super) struct Member {
    /// Offset of its local header.
    header: u64,
    pub(super) compressed: u64,
    pub(super) size: u64,
    pub(super) method: u16,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Finds `data.pkl` in the directory of an archive. Returns `None` if there is none, or if the archive is damaged; the
/// reader reports the damage later.
pub(super) fn find_pickle(file: &mut File, length: u64) -> Result<Option<Member>, Error> {
    // The last record is 22 bytes long and may be followed by a comment of 65 535.
    let tail_length = length.min(22 + 65_535 + 76);
    let tail = read_at(file, length - tail_length, tail_length)?;
    let Some((offset, size)) = directory(&tail) else { return Ok(None) };
    if size > LARGEST_DIRECTORY || offset.checked_add(size).is_none_or(|end| end > length) {
        return Ok(None);
    }
    let directory = read_at(file, offset, size)?;
    Ok(members(&directory))
}

/// Offset and size of the directory.
fn directory(tail: &[u8]) -> Option<(u64, u64)> {
    let end = tail.windows(4).rposition(|window| window == END)?;
    let short = (u32_at(tail, end + 16)?, u32_at(tail, end + 12)?);
    let long = tail[..end].windows(4).rposition(|window| window == END_64);
    match long {
        Some(at) => Some((u64_at(tail, at + 48)?, u64_at(tail, at + 40)?)),
        None => Some(short),
    }
}

/// The `data.pkl` with the shortest path, which is the one that the reader uses.
fn members(directory: &[u8]) -> Option<Member> {
    let mut at = 0;
    let mut best: Option<(usize, Member)> = None;
    while directory.get(at..at + 4) == Some(DIRECTORY) {
        let [name, extra, comment] =
            [u16_at(directory, at + 28)?, u16_at(directory, at + 30)?, u16_at(directory, at + 32)?]
                .map(usize::from);
        let text = directory.get(at + 46..at + 46 + name)?;
        let found = text.strip_suffix(b"data.pkl").filter(|root| root.is_empty() || root.ends_with(b"/"));
        if let Some(root) = found
            && best.as_ref().is_none_or(|(shortest, _)| root.len() < *shortest)
        {
            let mut member = Member {
                method: u16_at(directory, at + 10)?,
                compressed: u32_at(directory, at + 20)?,
                size: u32_at(directory, at + 24)?,
                header: u32_at(directory, at + 42)?,
            };
            member.widen(directory.get(at + 46 + name..at + 46 + name + extra)?);
            best = Some((root.len(), member));
        }
        at += 46 + name + extra + comment;
    }
    best.map(|(_, member)| member)
}

impl Member {
    /// Replaces the numbers that do not fit into 32 bits by the 64-bit numbers.
    fn widen(&mut self, mut extra: &[u8]) {
        while let (Some(kind), Some(size)) = (u16_at(extra, 0), u16_at(extra, 2)) {
            let Some(content) = extra.get(4..4 + usize::from(size)) else { return };
            if kind == 1 {
                let mut at = 0;
                for value in [&mut self.size, &mut self.compressed, &mut self.header] {
                    if *value == 0xffff_ffff
                        && let Some(wide) = u64_at(content, at)
                    {
                        *value = wide;
                        at += 8;
                    }
                }
            }
            extra = &extra[4 + usize::from(size)..];
        }
    }

    /// Reads the bytes as they are stored in the archive.
    pub(super) fn raw(&self, file: &mut File, length: u64) -> Result<Vec<u8>, Error> {
        let header = read_at(file, self.header, 30)?;
        let [name, extra] = [26, 28].map(|at| u64::from(u16_at(&header, at).unwrap_or_default()));
        let start = self.header.saturating_add(30 + name + extra);
        if start.checked_add(self.compressed).is_none_or(|end| end > length) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        read_at(file, start, self.compressed)
    }
}

fn read_at(file: &mut File, offset: u64, count: u64) -> Result<Vec<u8>, Error> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(count).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == count { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) }
}
