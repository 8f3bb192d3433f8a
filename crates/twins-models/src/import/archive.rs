//! Locates the pickle in PyTorch's ZIP archive.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom};

/// Signatures of the records of an archive (PKWARE's APPNOTE.TXT, 4.3).
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";
const DIRECTORY: &[u8] = b"PK\x01\x02";

/// The lengths of the last record, and of the two records before it in an archive with 64-bit numbers.
const END_LENGTH: usize = 22;
const LONG_LENGTH: usize = 56 + 20;

/// The extra field that replaces the name of an entry.
const OTHER_NAME: u16 = 0x7075;

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

/// Finds `data.pkl` in the directory of an archive. Returns `None` if there is none, or if the archive is damaged or unusual.
///
/// Archives with a comment, with other data around them, or with two directories or names to choose from are unusual: another reader might
/// find another pickle than the one that is inspected. No version of PyTorch writes one.
pub(super) fn find_pickle(file: &mut File, length: u64) -> Result<Option<Member>, Error> {
    let tail_length = length.min((END_LENGTH + LONG_LENGTH) as u64);
    let tail = read_at(file, length - tail_length, tail_length)?;
    let Some(found) = directory(&tail, length) else { return Ok(None) };
    if found.size > LARGEST_DIRECTORY {
        return Ok(None);
    }
    let directory = read_at(file, found.offset, found.size)?;
    Ok(members(&directory, found.entries))
}

/// Where the directory is.
#[derive(Clone, Copy, PartialEq)]
struct Place {
    offset: u64,
    size: u64,
    entries: u64,
}

/// The place of the directory, which ends where the last records begin.
fn directory(tail: &[u8], length: u64) -> Option<Place> {
    let end = tail.len().checked_sub(END_LENGTH)?;
    let [disk, first_disk, entries_here, entries, comment] = [
        u16_at(tail, end + 4)?,
        u16_at(tail, end + 6)?,
        u16_at(tail, end + 8)?,
        u16_at(tail, end + 10)?,
        u16_at(tail, end + 20)?,
    ];
    if !tail[end..].starts_with(END) || (disk, first_disk, comment) != (0, 0, 0) || entries_here != entries {
        return None;
    }
    let short =
        Place { offset: u32_at(tail, end + 16)?, size: u32_at(tail, end + 12)?, entries: entries.into() };
    let long = end
        .checked_sub(LONG_LENGTH)
        .filter(|at| tail[*at..].starts_with(END_64) && tail[end - 20..].starts_with(LOCATOR_64));
    let (place, records) = match long {
        None => (short, END_LENGTH),
        Some(at) => {
            let long = Place {
                offset: u64_at(tail, at + 48)?,
                size: u64_at(tail, at + 40)?,
                entries: u64_at(tail, at + 32)?,
            };
            // Numbers that are too long for the last record are the largest ones there.
            let shortened = Place {
                offset: long.offset.min(0xffff_ffff),
                size: long.size.min(0xffff_ffff),
                entries: long.entries.min(0xffff),
            };
            if shortened != short {
                return None;
            }
            (long, END_LENGTH + LONG_LENGTH)
        }
    };
    let ends_at = length.checked_sub(records as u64)?;
    (place.offset.checked_add(place.size) == Some(ends_at)).then_some(place)
}

/// The `data.pkl` with the shortest path, which is the one that the reader uses.
fn members(directory: &[u8], entries: u64) -> Option<Member> {
    let mut at = 0;
    let mut best: Option<(usize, Member)> = None;
    for _ in 0..entries {
        if directory.get(at..at + 4)? != DIRECTORY {
            return None;
        }
        let [name, extra, comment] =
            [u16_at(directory, at + 28)?, u16_at(directory, at + 30)?, u16_at(directory, at + 32)?]
                .map(usize::from);
        let text = directory.get(at + 46..at + 46 + name)?;
        let extra_fields = directory.get(at + 46 + name..at + 46 + name + extra)?;
        let mut member = Member {
            method: u16_at(directory, at + 10)?,
            compressed: u32_at(directory, at + 20)?,
            size: u32_at(directory, at + 24)?,
            header: u32_at(directory, at + 42)?,
        };
        member.widen(extra_fields)?;
        let found = text.strip_suffix(b"data.pkl").filter(|root| root.is_empty() || root.ends_with(b"/"));
        if let Some(root) = found {
            match best.as_ref().map(|(shortest, _)| root.len().cmp(shortest)) {
                Some(Ordering::Equal) => return None,
                Some(Ordering::Greater) => {}
                Some(Ordering::Less) | None => best = Some((root.len(), member)),
            }
        }
        at += 46 + name + extra + comment;
    }
    best.map(|(_, member)| member).filter(|_| at == directory.len())
}

impl Member {
    /// Replaces the numbers that do not fit into 32 bits by the 64-bit numbers. Returns `None` if the entry also has another name.
    fn widen(&mut self, mut extra: &[u8]) -> Option<()> {
        while let (Some(kind), Some(size)) = (u16_at(extra, 0), u16_at(extra, 2)) {
            let content = extra.get(4..4 + usize::from(size))?;
            if kind == OTHER_NAME {
                return None;
            }
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
        Some(())
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
