use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use serde::{Deserialize, Serialize};

use crate::error::ReportError;

const PREFIX: &str = "data:image/png;base64,";

/// A PNG image as a data URI, `data:image/png;base64,…`, which HTML can display without another file.
///
/// Text that is deserialised must have this form, so that a report that is rebuilt from files cannot refer to anything
/// outside itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct PngUri(String);

impl PngUri {
    /// Encodes the pixels `[channels, height, width]` of an image with 1 or 3 channels. Values outside [0, 1] are clipped.
    ///
    /// # Errors
    ///
    /// [`ReportError::Part`] for another number of channels.
    pub(crate) fn encode(pixels: &[f32], shape: [usize; 3]) -> Result<Self, ReportError> {
        let failed = |problem: String| ReportError::Part { part: "gallery".to_owned(), problem };
        let [channels, height, width] = shape;
        let colour = match channels {
            1 => ExtendedColorType::L8,
            3 => ExtendedColorType::Rgb8,
            _ => return Err(failed(format!("the images have {channels} channels; PNG takes 1 or 3"))),
        };
        let area = height * width;
        let bytes: Vec<u8> = (0..area)
            .flat_map(|pixel| (0..channels).map(move |channel| channel * area + pixel))
            .map(|place| (pixels[place].clamp(0.0, 1.0) * 255.0).round() as u8)
            .collect();
        let mut png = Vec::new();
        PngEncoder::new(&mut png)
            .write_image(&bytes, width as u32, height as u32, colour)
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self(format!("{PREFIX}{}", base64(&png))))
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The error for text that is not a PNG image in a data URI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a picture is not of the form {PREFIX} with base 64 behind it, but begins with \"{start}\"")]
pub struct NoPngUri {
    /// The beginning of the text.
    start: String,
}

impl TryFrom<String> for PngUri {
    type Error = NoPngUri;

    fn try_from(text: String) -> Result<Self, NoPngUri> {
        let digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        if text.strip_prefix(PREFIX).is_some_and(|coded| coded.bytes().all(digit)) {
            Ok(Self(text))
        } else {
            Err(NoPngUri { start: text.chars().take(40).collect() })
        }
    }
}

impl From<PngUri> for String {
    fn from(uri: PngUri) -> Self {
        uri.0
    }
}

/// Encodes bytes as base 64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(*part.get(i).unwrap_or(&0)));
        for digit in 0..4 {
            let sextet = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit <= part.len() { char::from(DIGITS[sextet]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        // RFC 4648, section 10.
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn planes_become_pixels() {
        // Red beside blue, and a value beyond the box.
        let uri = PngUri::encode(&[1.0, 0.0, 0.0, -0.5, 0.0, 1.5], [3, 1, 2]).unwrap();
        let coded = uri.as_str().strip_prefix(PREFIX).unwrap();
        let image = image::load_from_memory(&decode(coded)).unwrap().to_rgb8();
        assert_eq!(image.into_raw(), [255, 0, 0, 0, 0, 255]);
        let error = PngUri::encode(&[0.0; 2], [2, 1, 1]).unwrap_err().to_string();
        assert!(error.contains("2 channels"), "{error}");
    }

    #[test]
    fn only_pictures_in_themselves_are_read() {
        let uri = PngUri::encode(&[0.5], [1, 1, 1]).unwrap();
        let text = serde_json::to_string(&uri).unwrap();
        assert_eq!(serde_json::from_str::<PngUri>(&text).unwrap(), uri);
        for foreign in [
            "https://example.org/x.png",
            "data:image/svg+xml;base64,AAAA",
            "data:image/png;base64,AA\" onload=\"x",
            "",
        ] {
            let text = serde_json::to_string(foreign).unwrap();
            let error = serde_json::from_str::<PngUri>(&text).unwrap_err().to_string();
            assert!(error.contains("data:image/png"), "{error}");
        }
    }

    fn decode(text: &str) -> Vec<u8> {
        let value = |byte: u8| match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => panic!("{byte} is no digit"),
        };
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(value).collect();
        let bits: Vec<bool> =
            digits.iter().flat_map(|d| (0..6).rev().map(move |i| d >> i & 1 == 1)).collect();
        bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |b, bit| b << 1 | u8::from(*bit))).collect()
    }
}
