use std::io::{self, ErrorKind, Read};

use crc32c::crc32c;

/// Encodes a record of a TFRecord file. All numbers are little-endian: the length of the data in 8 bytes, the checksum of
/// the length in 4 bytes, the data, and the checksum of the data in 4 bytes.
pub(super) fn encode(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let checksum = |bytes: &[u8]| masked_crc32c(bytes).to_le_bytes();
    [&length, checksum(&length).as_slice(), data, &checksum(data)].concat()
}

/// The number of bytes in a file before the first record that is incomplete or damaged.
pub(super) fn whole_bytes(file: impl Read) -> io::Result<u64> {
    let mut reader = io::BufReader::new(file);
    let mut whole = 0;
    while let Some(length) = whole_record(&mut reader)? {
        whole += length;
    }
    Ok(whole)
}

/// Reads a record and returns its length in the file; `None` if there is no complete and undamaged record.
fn whole_record(reader: &mut impl Read) -> io::Result<Option<u64>> {
    let (mut length, mut checksum) = ([0; 8], [0; 4]);
    if !filled(reader, &mut length)? || !filled(reader, &mut checksum)? {
        return Ok(None);
    }
    if masked_crc32c(&length) != u32::from_le_bytes(checksum) {
        return Ok(None);
    }
    let length = u64::from_le_bytes(length);
    let mut data = Vec::new();
    reader.take(length).read_to_end(&mut data)?;
    if data.len() as u64 != length || !filled(reader, &mut checksum)? {
        return Ok(None);
    }
    let whole = masked_crc32c(&data) == u32::from_le_bytes(checksum);
    Ok(whole.then_some(8 + 4 + length + 4))
}

/// Computes the masked checksum of TFRecord files: the CRC-32C, rotated and with a constant added.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Fills the buffer. Returns false if the file ends before the buffer is full.
fn filled(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_by_hand() {
        let record = encode(b"123456789");
        assert_eq!(record.len(), 8 + 4 + 9 + 4);
        assert_eq!(record[..8], [9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(record[12..21], *b"123456789");
        // The CRC-32C of these digits, the check value of the catalogue of CRC algorithms, is 0xe3069283. Rotated by 15 bits it
        // is 0x2507c60d; 0xa282ead8 is added.
        assert_eq!(record[21..], 0xc78a_b0e5u32.to_le_bytes());
    }

    #[test]
    fn whole_records_end_at_every_missing_or_altered_byte() {
        let (first, second) = (encode(b"first"), encode(b"second record"));
        let both = [first.as_slice(), &second].concat();
        assert_eq!(whole_bytes(both.as_slice()).unwrap(), both.len() as u64);
        assert_eq!(whole_bytes([].as_slice()).unwrap(), 0);
        for place in first.len()..both.len() {
            assert_eq!(whole_bytes(&both[..place]).unwrap(), first.len() as u64, "cut at {place}");
            let mut altered = both.clone();
            altered[place] ^= 1;
            assert_eq!(whole_bytes(altered.as_slice()).unwrap(), first.len() as u64, "altered at {place}");
        }
    }
}
