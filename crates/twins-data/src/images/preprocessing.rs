use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::images::image::Image;
use crate::images::resize::{Window, resize};

/// The preprocessing (resize and crop) that brings image files to the input size of a model.
///
/// On the command line and in files, it is written as `as-stored`, `RESIZE/CROP` in pixels, or `imagenet` for
/// `256/224`.
///
/// ```
/// use twins_data::Preprocessing;
///
/// assert_eq!("imagenet".parse::<Preprocessing>().unwrap(), Preprocessing::ResizeCrop { resize: 256, crop: 224 });
/// assert_eq!("36/32".parse::<Preprocessing>().unwrap().to_string(), "36/32");
/// assert!("32/36".parse::<Preprocessing>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(into = "String", try_from = "String")]
pub enum Preprocessing {
    /// Images are used as they are stored; an image whose size differs from the first one is an error.
    #[default]
    AsStored,
    /// The shorter side is resized, then a square is cropped from the centre, like torchvision's `Resize` and
    /// `CenterCrop` with antialiased bilinear filtering.
    ResizeCrop {
        /// The shorter side after resizing, in pixels.
        resize: usize,
        /// The side of the square, in pixels.
        crop: usize,
    },
}

impl Preprocessing {
    /// The usual preprocessing for ImageNet: the shorter side is resized to 256 pixels, then the central 224 × 224
    /// pixels are cropped.
    pub const IMAGENET: Self = Self::ResizeCrop { resize: 256, crop: 224 };

    pub(crate) fn validate(self) -> Result<(), DataError> {
        match self {
            Self::ResizeCrop { resize, crop } if crop == 0 || crop > resize || resize > Self::LARGEST => {
                Err(DataError::InvalidSetting {
                    name: "the resize and crop",
                    value: format!("{resize} and {crop}"),
                    range: "at least 1, at most 4096, and the crop no larger than the resize",
                })
            }
            _ => Ok(()),
        }
    }

    /// The largest side that an image is resized to.
    pub(crate) const LARGEST: usize = 4096;

    pub(crate) fn apply(self, image: Image) -> Image {
        match self {
            Self::AsStored => image,
            Self::ResizeCrop { resize: shorter, crop } => {
                let [_, height, width] = image.shape;
                let resized = with_shorter_side([height, width], shorter);
                // The crop is resized directly: resizing all of a narrow strip could take any amount of memory.
                let window = |side: usize, resized: usize| {
                    let scale = side as f64 / resized as f64;
                    let offset = round_half_to_even(resized - crop);
                    (offset as f64 * scale, crop as f64 * scale)
                };
                let (top, window_height) = window(height, resized[0]);
                let (left, window_width) = window(width, resized[1]);
                // Rounding may put the far edge outside the image by one unit in the last place.
                let window = Window {
                    top,
                    left,
                    height: window_height.min(height as f64 - top),
                    width: window_width.min(width as f64 - left),
                };
                resize(&image, window, [crop, crop])
            }
        }
    }
}

/// The height and width after resizing the shorter side to `shorter`. The longer side is truncated to whole pixels, as
/// in torchvision.
pub(crate) fn with_shorter_side([height, width]: [usize; 2], shorter: usize) -> [usize; 2] {
    let longer = |side: usize, other: usize| (shorter * side) / other;
    if width <= height { [longer(height, width), shorter] } else { [shorter, longer(width, height)] }
}

impl FromStr for Preprocessing {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let sides =
            text.split_once('/').and_then(|(resize, crop)| resize.parse().ok().zip(crop.parse().ok()));
        let preprocessing = match (text, sides) {
            ("as-stored", _) => Self::AsStored,
            ("imagenet", _) => Self::IMAGENET,
            (_, Some((resize, crop))) => Self::ResizeCrop { resize, crop },
            _ => {
                return Err(DataError::InvalidSetting {
                    name: "the preprocessing",
                    value: format!("\"{text}\""),
                    range: "as-stored, imagenet or RESIZE/CROP in pixels, for instance 256/224",
                });
            }
        };
        preprocessing.validate()?;
        Ok(preprocessing)
    }
}

impl fmt::Display for Preprocessing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsStored => formatter.write_str("as-stored"),
            Self::ResizeCrop { resize, crop } => write!(formatter, "{resize}/{crop}"),
        }
    }
}

impl TryFrom<String> for Preprocessing {
    type Error = DataError;

    fn try_from(text: String) -> Result<Self, DataError> {
        text.parse()
    }
}

impl From<Preprocessing> for String {
    fn from(preprocessing: Preprocessing) -> Self {
        preprocessing.to_string()
    }
}

/// Half of `twice`, rounded like Python's `round`.
fn round_half_to_even(twice: usize) -> usize {
    let half = twice / 2;
    if twice % 2 == 1 && half % 2 == 1 { half + 1 } else { half }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_and_written() {
        for text in ["as-stored", "256/224"] {
            let preprocessing = text.parse::<Preprocessing>().unwrap();
            assert_eq!(preprocessing.to_string(), text);
            let json = serde_json::to_string(&preprocessing).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Preprocessing>(&json).unwrap(), preprocessing);
        }
        assert_eq!(serde_json::from_str::<Preprocessing>("\"imagenet\"").unwrap(), Preprocessing::IMAGENET);
        for text in ["", "224", "224/256", "0/0", "256/224/1", "-1/1", "big"] {
            assert!(text.parse::<Preprocessing>().is_err(), "{text}");
        }
        let message = serde_json::from_str::<Preprocessing>("\"big\"").unwrap_err().to_string();
        assert!(message.contains("\"big\"") && message.contains("256/224"), "{message}");
    }

    #[test]
    fn rounds_halves_to_even() {
        assert_eq!([0, 1, 2, 3, 4, 5].map(round_half_to_even), [0, 0, 1, 2, 2, 2]);
    }

    #[test]
    fn cuts_the_middle_of_either_orientation() {
        // Resized by 1: a crop of the middle 2 columns, or rows, of 6.
        let preprocessing = Preprocessing::ResizeCrop { resize: 2, crop: 2 };
        let landscape = Image { shape: [1, 2, 6], pixels: (0..12).collect() };
        assert_eq!(preprocessing.apply(landscape), Image { shape: [1, 2, 2], pixels: vec![2, 3, 8, 9] });
        let portrait = Image { shape: [1, 6, 2], pixels: (0..12).collect() };
        assert_eq!(preprocessing.apply(portrait), Image { shape: [1, 2, 2], pixels: vec![4, 5, 6, 7] });
    }

    #[test]
    fn strips_and_dots_are_preprocessed_too() {
        for shape in [[1, 1, 5000], [1, 5000, 1], [1, 1, 1], [1, 3, 7]] {
            let image = Image { shape, pixels: vec![9; shape.iter().product()] };
            let preprocessed = Preprocessing::IMAGENET.apply(image);
            assert_eq!(preprocessed, Image { shape: [1, 224, 224], pixels: vec![9; 224 * 224] });
        }
    }

    #[test]
    fn refuses_what_cannot_be_cut() {
        for (resize, crop) in [(224, 256), (224, 0), (1 << 20, 10)] {
            assert!(matches!(
                Preprocessing::ResizeCrop { resize, crop }.validate(),
                Err(DataError::InvalidSetting { .. })
            ));
        }
        assert!(Preprocessing::IMAGENET.validate().is_ok());
    }
}
