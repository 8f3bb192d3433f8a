use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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
        Ok(Self(PREFIX.to_owned() + &STANDARD.encode(&png)))
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
        if text.strip_prefix(PREFIX).is_some_and(|coded| STANDARD.decode(coded).is_ok()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_become_pixels() {
        // Red beside blue, and a value beyond the box.
        let uri = PngUri::encode(&[1.0, 0.0, 0.0, -0.5, 0.0, 1.5], [3, 1, 2]).unwrap();
        let coded = uri.as_str().strip_prefix(PREFIX).unwrap();
        let image = image::load_from_memory(&STANDARD.decode(coded).unwrap()).unwrap().to_rgb8();
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
            "data:image/png;base64,AAA",
            "",
        ] {
            let text = serde_json::to_string(foreign).unwrap();
            let error = serde_json::from_str::<PngUri>(&text).unwrap_err().to_string();
            assert!(error.contains("data:image/png"), "{error}");
        }
    }
}
