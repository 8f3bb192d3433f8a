use std::io::Cursor;
use std::path::Path;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::file::{allocation_limit, is_regular, read};
use crate::images::decode_cost::working_bytes;
use crate::images::image::Image;
use crate::images::jpeg_end::has_end_of_image;
use crate::images::planes::{Conversion, planes};

/// The channels to which image files are decoded, regardless of the channels in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// One channel: luma of ITU-R BT.601, `0.299 R + 0.587 G + 0.114 B`.
    Grey,
    /// Red, green and blue; grey images get three equal channels.
    Rgb,
}

impl Channels {
    /// The number of channels.
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// The number of bytes that identify the format of an image file.
pub(crate) const SIGNATURE_SIZE: usize = 12;

/// The format that the first bytes of a file identify, if it is supported.
pub(crate) fn format(start: &[u8]) -> Option<ImageFormat> {
    if start.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(ImageFormat::Png)
    } else if start.starts_with(&[0xff, 0xd8, 0xff]) {
        Some(ImageFormat::Jpeg)
    } else if start.starts_with(b"RIFF") && start.get(8..12) == Some(b"WEBP") {
        Some(ImageFormat::WebP)
    } else if let [b'P', b'2' | b'3' | b'5' | b'6', b' ' | b'\t'..=b'\r' | b'#', ..] = start {
        Some(ImageFormat::Pnm)
    } else {
        None
    }
}

/// Decodes an image file.
///
/// The orientation in the metadata is applied, an alpha channel is dropped, and 16-bit values are rounded to 8 bits.
/// The memory allocated at any time stays below four times the file's size plus 64 MiB.
pub(crate) fn decode(path: &Path, channels: Channels) -> Result<Image, DataError> {
    // A device or a pipe of an image's name could give bytes for ever, or none.
    if !is_regular(path)? {
        return Err(DataError::NotAnImage { path: path.to_path_buf() });
    }
    let bytes = read(path)?;
    let file_size = bytes.len() as u64;
    let format = format(&bytes).ok_or_else(|| DataError::NotAnImage { path: path.to_path_buf() })?;
    if format == ImageFormat::Jpeg && !has_end_of_image(&bytes) {
        return Err(DataError::TruncatedJpeg { path: path.to_path_buf(), found: file_size });
    }

    let undecodable = |source| DataError::Undecodable { path: path.to_path_buf(), source };
    let limit = allocation_limit(file_size);
    let mut reader = ImageReader::with_format(Cursor::new(&bytes), format);
    let mut limits = Limits::no_limits();
    // A PNG can have a compressed colour profile, for which memory is doubled whenever it is full. The decoder also counts a line of the
    // image, which is a fifth of the limit at most: see `working_bytes`.
    limits.max_alloc = Some(if format == ImageFormat::Png { limit / 5 } else { limit });
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(undecodable)?;
    let profile = match format {
        ImageFormat::Png => decoder.icc_profile().map_err(undecodable)?.map_or(0, |profile| profile.len()),
        _ => 0,
    };
    let declared = decoder.total_bytes();
    let check = |needed: u64| match needed <= limit {
        true => Ok(()),
        false => Err(DataError::TooLarge { path: path.to_path_buf(), file_size, declared, limit }),
    };
    let [width, height] = <[u32; 2]>::from(decoder.dimensions()).map(u64::from);
    if width == 0 || height == 0 {
        let [height, width] = [height, width].map(|side| side as usize);
        return Err(DataError::NoPixels { path: path.to_path_buf(), count: 1, height, width });
    }
    // Every value takes at least as many bytes in the file as in memory, both in binary and in text form.
    if format == ImageFormat::Pnm && declared > file_size {
        return Err(DataError::WrongSize {
            path: path.to_path_buf(),
            expected: declared,
            declared: format!("{width} x {height} pixels, without the header"),
            found: file_size,
        });
    }
    let row = declared / height;
    let working = working_bytes(format, &bytes, [width, height], row).saturating_add(2 * profile as u64);
    check(declared.saturating_add(file_size).saturating_add(working))?;
    let orientation = decoder.orientation().map_err(undecodable)?;
    let color = decoder.color_type();
    if turns(orientation) {
        // Rotating creates a second image of the same size.
        check(declared.saturating_mul(2))?;
    }
    let fits = |conversion: &Conversion| {
        let cost = conversion.cost(channels, color, width.saturating_mul(height));
        cost.is_some_and(|cost| check(declared.saturating_add(cost)).is_ok())
    };
    let Some(conversion) = [Conversion::Copied, Conversion::InPlace].into_iter().find(fits) else {
        return Err(DataError::TooLarge { path: path.to_path_buf(), file_size, declared, limit });
    };
    let mut image = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
    drop(bytes);
    image.apply_orientation(orientation);
    Ok(planes(image, channels, conversion))
}

/// Whether an orientation swaps height and width.
fn turns(orientation: Orientation) -> bool {
    use Orientation as O;
    matches!(orientation, O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH)
}

#[cfg(test)]
mod tests {
    use ::image::codecs::jpeg::JpegEncoder;
    use ::image::{GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    fn decode_bytes(bytes: &[u8], channels: Channels) -> Result<Image, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        std::fs::write(&path, bytes).unwrap();
        decode(&path, channels)
    }

    fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
        encode(image, ImageFormat::Png)
    }

    /// A JPEG of a gradient, which takes a few hundred bytes of entropy-coded data.
    fn jpeg() -> Vec<u8> {
        let image = RgbImage::from_fn(48, 32, |x, y| Rgb([(x * 5) as u8, (y * 7) as u8, (x * y) as u8]));
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&image).unwrap();
        bytes
    }

    #[test]
    fn converts_channels() {
        let rgb = png(RgbImage::from_raw(2, 1, vec![10, 20, 30, 255, 255, 255]).unwrap());
        assert_eq!(decode_bytes(&rgb, Channels::Rgb).unwrap().pixels, [10, 255, 20, 255, 30, 255]);
        // 0.299 · 10 + 0.587 · 20 + 0.114 · 30 = 18.15.
        assert_eq!(decode_bytes(&rgb, Channels::Grey).unwrap().pixels, [18, 255]);

        let grey = png(GrayImage::from_pixel(1, 2, Luma([9])));
        assert_eq!(decode_bytes(&grey, Channels::Grey).unwrap().shape, [1, 2, 1]);
        assert_eq!(decode_bytes(&grey, Channels::Rgb).unwrap().pixels, [9; 6]);

        let rgba = png(RgbaImage::from_pixel(1, 1, Rgba([1, 2, 3, 0])));
        assert_eq!(decode_bytes(&rgba, Channels::Rgb).unwrap().pixels, [1, 2, 3]);
        let grey_alpha = png(ImageBuffer::from_pixel(1, 1, LumaA([7u8, 100])));
        assert_eq!(decode_bytes(&grey_alpha, Channels::Rgb).unwrap().pixels, [7; 3]);
    }

    #[test]
    fn reads_webp() {
        let image = RgbImage::from_raw(2, 1, vec![10, 20, 30, 255, 255, 255]).unwrap();
        let decoded = decode_bytes(&encode(image, ImageFormat::WebP), Channels::Rgb).unwrap();
        assert_eq!(decoded.pixels, [10, 255, 20, 255, 30, 255]);
    }

    #[test]
    fn reads_ppm_and_pgm_as_bytes_and_as_text() {
        let pixels = [10, 255, 20, 255, 30, 255];
        let files = [
            &b"P6\n2 1\n255\n\x0a\x14\x1e\xff\xff\xff"[..],
            b"P6 # a comment\n2 1 255 \x0a\x14\x1e\xff\xff\xff",
            b"P3\n2 1\n255\n10 20 30\n255 255 255\n",
            // 16 bits: 257 times the bytes.
            b"P6\n2 1\n65535\n\x0a\x0a\x14\x14\x1e\x1e\xff\xff\xff\xff\xff\xff",
        ];
        for bytes in files {
            let image = decode_bytes(bytes, Channels::Rgb).unwrap();
            assert_eq!((image.shape, &image.pixels[..]), ([3, 1, 2], &pixels[..]));
        }
        // Of 15 levels: 255 / 15 = 17 each.
        for bytes in [&b"P5\n2 1\n15\n\x01\x0f"[..], b"P2\n2 1\n15\n1 15"] {
            assert_eq!(decode_bytes(bytes, Channels::Grey).unwrap().pixels, [17, 255]);
        }
    }

    #[test]
    fn refuses_ppm_that_is_shorter_than_it_claims() {
        // The last one would take 48 GB.
        for header in ["P6\n2 1\n255\n", "P6\n100 100\n255\n", "P6\n131072 131072\n255\n"] {
            let bytes = [header.as_bytes(), &[0; 5]].concat();
            let error = decode_bytes(&bytes, Channels::Rgb).unwrap_err();
            assert!(matches!(error, DataError::Undecodable { .. } | DataError::WrongSize { .. }), "{error}");
        }
        for text in ["P5\n0 4\n255\n", "P2\n4 0\n255\n"] {
            let error = decode_bytes(text.as_bytes(), Channels::Rgb).unwrap_err();
            assert!(matches!(error, DataError::NoPixels { count: 1, .. }), "{error}");
        }
        for text in ["P5\n1 1\n", "P2\n1 1\n255\nx", "P2\n1 1\n255\n700", "P6\n-1 1\n255\n0"] {
            let error = decode_bytes(text.as_bytes(), Channels::Rgb).unwrap_err();
            assert!(matches!(error, DataError::Undecodable { .. }), "{text:?}: {error}");
        }
        // A text that begins like one.
        assert!(matches!(decode_bytes(b"P5 or P6?", Channels::Rgb), Err(DataError::Undecodable { .. })));
        assert!(matches!(decode_bytes(b"P600", Channels::Rgb), Err(DataError::NotAnImage { .. })));
    }

    #[test]
    fn rounds_sixteen_bits_to_eight() {
        // 257 · 100 is 100 exactly; 130 more rounds up, 120 more does not.
        let pixels = vec![25_700u16, 25_830, 25_820];
        let image = ImageBuffer::<Rgb<u16>, _>::from_raw(1, 1, pixels).unwrap();
        assert_eq!(decode_bytes(&png(image), Channels::Rgb).unwrap().pixels, [100, 101, 100]);
    }

    #[test]
    fn applies_the_orientation_of_a_camera() {
        let image = RgbImage::from_fn(16, 8, |x, _| if x < 8 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 100).encode_image(&image).unwrap();
        // Exif, little endian: one entry, orientation (0x0112), short, count 1, value 6: turn right by 90°.
        let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
        let length = (exif.len() as u16 + 2).to_be_bytes();
        exif.splice(0..0, [0xff, 0xe1, length[0], length[1]]);
        bytes.splice(2..2, exif);
        let image = decode_bytes(&bytes, Channels::Rgb).unwrap();
        assert_eq!(image.shape, [3, 16, 8]);
        // Turned right, the left half (red) is on top. JPEG is not exact: 200 tells red from blue.
        assert!(image.pixels[0] > 200 && image.pixels[16 * 8 - 1] < 55, "{:?}", &image.pixels[..8]);
    }

    #[test]
    fn reports_truncation() {
        let jpeg = jpeg();
        assert_eq!(decode_bytes(&jpeg, Channels::Rgb).unwrap().shape, [3, 32, 48]);
        for length in [jpeg.len() / 2, jpeg.len() - 10, jpeg.len() - 1] {
            let error = decode_bytes(&jpeg[..length], Channels::Rgb).unwrap_err();
            assert!(
                matches!(error, DataError::TruncatedJpeg { found, .. } if found == length as u64),
                "{error}"
            );
        }
        let png = png(RgbImage::from_fn(32, 32, |x, y| Rgb([x as u8, y as u8, (x * y) as u8])));
        let webp = encode(
            RgbImage::from_fn(32, 32, |x, y| Rgb([x as u8, y as u8, (x * y) as u8])),
            ImageFormat::WebP,
        );
        for bytes in [png, webp] {
            for length in [20, bytes.len() / 2] {
                let error = decode_bytes(&bytes[..length], Channels::Rgb).unwrap_err();
                assert!(matches!(error, DataError::Undecodable { .. }), "{error}");
            }
        }
    }

    #[test]
    fn refuses_what_is_no_image_and_what_is_absurdly_large() {
        for bytes in [&b""[..], b"a text", b"GIF89a"] {
            assert!(matches!(decode_bytes(bytes, Channels::Rgb), Err(DataError::NotAnImage { .. })));
        }
        // A PNG of 10 x 10 grey pixels whose header says 20 000 x 20 000.
        let mut bytes = png(GrayImage::new(10, 10));
        bytes[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
        let checksum = crc32(&bytes[12..29]).to_be_bytes();
        bytes[29..33].copy_from_slice(&checksum);
        let error = decode_bytes(&bytes, Channels::Grey).unwrap_err();
        assert!(matches!(error, DataError::TooLarge { declared: 400_000_000, .. }), "{error}");
    }

    /// The checksum of PNG chunks.
    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }
}
