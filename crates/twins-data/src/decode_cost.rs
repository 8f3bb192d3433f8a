//! How much memory decoding an image takes.

use ::image::ImageFormat;

/// Bytes that a decoder holds at its peak, about, apart from the file and the pixels that it returns.
///
/// Measured with a counting allocator on image 0.25, zune-jpeg 0.5, png 0.18 and image-webp 0.2, for files that
/// unfold to far more than they hold (`tests/memory.rs`).
pub(crate) fn working_bytes(format: ImageFormat, file: &[u8], [width, height]: [u64; 2], row: u64) -> u64 {
    let area = width.saturating_mul(height);
    match format {
        // A copy of the file, some lines of blocks, and where colours or refinements come one after the other, all
        // coefficients of two bytes.
        ImageFormat::Jpeg => {
            let coefficients = if keeps_coefficients(file) { 2 * 4 * area } else { 0 };
            file.len() as u64 + 200 * width + coefficients
        }
        // The frame as luma and halved chroma; as four channels, with tables for predictions; or both.
        ImageFormat::WebP => match file.get(12..16) {
            Some(b"VP8 ") => 2 * area,
            Some(b"VP8L") => 5 * area,
            _ => 7 * area,
        },
        // Two lines and what has been unpacked ahead.
        _ => 4 * row,
    }
}

/// Whether a JPEG comes in several scans, so that its coefficients are kept until the last.
fn keeps_coefficients(file: &[u8]) -> bool {
    let mut components = 0;
    let mut position = 2;
    while let Some(&[0xff, marker, high, low]) = file.get(position..position + 4) {
        match marker {
            // Start of a frame: sequential ones say how many colours there are, others are progressive.
            0xc0 | 0xc1 => components = file.get(position + 9).copied().unwrap_or(0),
            0xc2 => return true,
            // Start of a scan.
            0xda => return file.get(position + 4).is_none_or(|scanned| *scanned < components),
            _ => {}
        }
        position += match marker {
            // Fill bytes, and markers without a segment.
            0xff => 1,
            0x01 | 0xd0..=0xd8 => 2,
            _ => 2 + usize::from(u16::from_be_bytes([high, low])),
        };
    }
    // Not told: the dearer of the two.
    true
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
        assert!(!keeps_coefficients(&jpeg(0xc0, 3)));
        assert!(keeps_coefficients(&jpeg(0xc0, 1)));
        assert!(keeps_coefficients(&jpeg(0xc2, 3)));
        assert!(keeps_coefficients(&jpeg(0xc0, 3)[..20]));
    }
}
