//! Estimates the memory that decoding an image takes.

use ::image::ImageFormat;

/// The largest size that a partition of a lossy WebP can declare, with 24 bits. The decoder allocates it before it
/// detects that the file is shorter.
const WEBP_PARTITION: u64 = 1 << 24;

/// The approximate number of bytes that a decoder allocates at its peak, in addition to the file and the returned
/// pixels.
///
/// Measured with a counting allocator on image 0.25, zune-jpeg 0.5, png 0.18 and image-webp 0.2, for files that
/// decompress to far more than their size (`tests/it/memory.rs`).
pub(crate) fn working_bytes(format: ImageFormat, file: &[u8], [width, height]: [u64; 2], row: u64) -> u64 {
    let area = width.saturating_mul(height);
    match format {
        // A copy of the file, another of its metadata, and some lines of blocks. If colours or refinements are stored one after the other,
        // also all coefficients, of two bytes each.
        ImageFormat::Jpeg => {
            2 * file.len() as u64 + 200 * width + (2 * kept_components(file)).saturating_mul(area)
        }
        // The frame as luma and subsampled chroma; as four channels, with tables for predictions; or both.
        ImageFormat::WebP => match file.get(12..16) {
            Some(b"VP8 ") => 2 * area + WEBP_PARTITION,
            Some(b"VP8L") => 5 * area,
            _ => 7 * area + WEBP_PARTITION,
        },
        // PNG: two lines and the data that was decompressed ahead. PPM and PGM: nothing.
        _ => 4 * row,
    }
}

/// The number of colours whose coefficients are kept until the last scan; 0 if one scan has all colours.
fn kept_components(file: &[u8]) -> u64 {
    const MOST: u8 = 4;
    let mut components = MOST;
    let mut position = 2;
    while let Some(&[0xff, marker, high, low]) = file.get(position..position + 4) {
        match marker {
            // Start of a frame, sequential or progressive.
            0xc0..=0xc2 => {
                components = file.get(position + 9).copied().unwrap_or(MOST).min(MOST);
                if marker == 0xc2 {
                    break;
                }
            }
            // Start of a scan.
            0xda if file.get(position + 4).is_some_and(|scanned| *scanned >= components) => return 0,
            0xda => break,
            _ => {}
        }
        position += match marker {
            // Fill bytes, and markers without a segment.
            0xff => 1,
            0x01 | 0xd0..=0xd8 => 2,
            _ => 2 + usize::from(u16::from_be_bytes([high, low])),
        };
    }
    u64::from(components)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of that kind and three colours, and a scan of so many.
    fn jpeg(frame: u8, scanned: u8) -> Vec<u8> {
        let mut file = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 9, 9];
        file.extend([0xff, frame, 0, 11, 8, 0, 1, 0, 1, 3, 0, 0, 0]);
        file.extend([0xff, 0xda, 0, 3, scanned]);
        file
    }

    #[test]
    fn files_of_several_scans_are_told() {
        assert_eq!(kept_components(&jpeg(0xc0, 3)), 0);
        assert_eq!(kept_components(&jpeg(0xc0, 1)), 3);
        assert_eq!(kept_components(&jpeg(0xc2, 3)), 3);
        // Not told: the most that there can be.
        assert_eq!(kept_components(&[0xff, 0xd8]), 4);
    }
}
