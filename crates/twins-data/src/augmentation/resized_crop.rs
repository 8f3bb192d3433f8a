use std::num::NonZeroUsize;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::augmentation::rectangle::{
    Longer, random_corner, random_rectangle, validate_ratio, validate_scale,
};
use crate::error::DataError;
use crate::images::image::Image;
use crate::images::preprocessing::{Preprocessing, with_shorter_side};
use crate::images::resize::{Window, cut, resize};

/// Crops a part of random area and aspect ratio from an image and resizes it, like torchvision's `RandomResizedCrop`
/// (C. Szegedy et al., "Going deeper with convolutions", 2015, section 6).
///
/// | setting | default | purpose |
/// |---|---|---|
/// | `scale` | 0.08 to 1 | the part's area, as a fraction of the image's; uniform |
/// | `ratio` | 3/4 to 4/3 | the part's width divided by its height; uniform on a logarithmic scale |
/// | `shorter_side` | none | resize the image to this shorter side first, as torchvision's `Resize` does |
///
/// If none of ten drawn parts fits into the image, the centre of the image is cropped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(!try_from))]
#[serde(try_from = "CropSettings")]
pub struct RandomResizedCrop {
    /// Smallest and largest area of the part, as a fraction of the image's.
    scale: (f64, f64),
    /// Smallest and largest width of the part divided by its height.
    ratio: (f64, f64),
    /// The shorter side in pixels to which the image is resized first; `None` to crop the stored image.
    shorter_side: Option<NonZeroUsize>,
}

/// The settings as they are deserialised, before validation.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CropSettings {
    scale: (f64, f64),
    ratio: (f64, f64),
    shorter_side: Option<NonZeroUsize>,
}

impl Default for CropSettings {
    fn default() -> Self {
        let RandomResizedCrop { scale, ratio, shorter_side } = RandomResizedCrop::default();
        Self { scale, ratio, shorter_side }
    }
}

impl TryFrom<CropSettings> for RandomResizedCrop {
    type Error = DataError;

    fn try_from(settings: CropSettings) -> Result<Self, DataError> {
        let CropSettings { scale, ratio, shorter_side } = settings;
        if let Some(pixels) = shorter_side.filter(|pixels| pixels.get() > Preprocessing::LARGEST) {
            return Err(DataError::InvalidSetting {
                name: "the shorter side of a resized crop",
                value: pixels.to_string(),
                range: "at least 1 and at most 4096",
            });
        }
        Ok(Self { shorter_side, ..Self::new(scale, ratio)? })
    }
}

impl Default for RandomResizedCrop {
    fn default() -> Self {
        Self { scale: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0), shorter_side: None }
    }
}

impl RandomResizedCrop {
    /// Creates a crop with the ranges `scale` (lowest and highest area) and `ratio` (lowest and highest aspect ratio).
    ///
    /// # Errors
    /// [`DataError::InvalidSetting`] unless `0 < scale.0 <= scale.1 <= 1` and `0 < ratio.0 <= ratio.1`.
    pub fn new(scale: (f64, f64), ratio: (f64, f64)) -> Result<Self, DataError> {
        validate_scale(scale)?;
        validate_ratio(ratio)?;
        Ok(Self { scale, ratio, shorter_side: None })
    }

    /// Resizes the image to this shorter side in pixels before the crop, like a preceding `Resize` in torchvision. In a configuration file,
    /// it is at most 4096.
    pub fn with_shorter_side(mut self, pixels: NonZeroUsize) -> Self {
        self.shorter_side = Some(pixels);
        self
    }

    pub(crate) fn apply(self, image: &Image, size: [usize; 2], draw: &mut impl Rng) -> Image {
        let [_, height, width] = image.shape;
        let part = match self.shorter_side {
            Some(shorter) => {
                let resized = with_shorter_side([height, width], shorter.get());
                let ([top, left], part) = self.part(resized, draw);
                // Only the part is resized: resizing all of a narrow strip could take any amount of memory.
                let [down, across] = [height as f64 / resized[0] as f64, width as f64 / resized[1] as f64];
                let [top, left] = [top as f64 * down, left as f64 * across];
                // Rounding may put the far edge outside the image by one unit in the last place.
                let window = Window {
                    top,
                    left,
                    height: (part[0] as f64 * down).min(height as f64 - top),
                    width: (part[1] as f64 * across).min(width as f64 - left),
                };
                resize(image, window, part)
            }
            None => {
                let (corner, part) = self.part([height, width], draw);
                cut(image, corner, part)
            }
        };
        let [_, height, width] = part.shape;
        resize(&part, Window { top: 0.0, left: 0.0, height: height as f64, width: width as f64 }, size)
    }

    /// The top left corner and the size of the part.
    fn part(self, [height, width]: [usize; 2], draw: &mut impl Rng) -> ([usize; 2], [usize; 2]) {
        for _ in 0..10 {
            let [part_height, part_width] =
                random_rectangle([height, width], self.scale, self.ratio, draw, Longer::Width);
            if (1..=width).contains(&part_width) && (1..=height).contains(&part_height) {
                return (
                    random_corner([height, width], [part_height, part_width], draw),
                    [part_height, part_width],
                );
            }
        }
        let ratio = width as f64 / height as f64;
        let part = if ratio < self.ratio.0 {
            [(width as f64 / self.ratio.0).round_ties_even() as usize, width]
        } else if ratio > self.ratio.1 {
            [height, (height as f64 * self.ratio.1).round_ties_even() as usize]
        } else {
            [height, width]
        };
        // A ratio far from 1 could round a side to 0.
        let part = [part[0].clamp(1, height), part[1].clamp(1, width)];
        ([(height - part[0]) / 2, (width - part[1]) / 2], part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::{Purpose, draws};

    #[test]
    fn areas_and_ratios_have_their_distributions() {
        let crop = RandomResizedCrop::default();
        let (mut areas, mut logarithms) = (Vec::new(), Vec::new());
        for id in 0..4000 {
            let mut draw = draws(0, id, Purpose::ResizedCrop);
            let ([top, left], [height, width]) = crop.part([600, 600], &mut draw);
            assert!(top + height <= 600 && left + width <= 600);
            areas.push((height * width) as f64 / 360_000.0);
            logarithms.push((width as f64 / height as f64).ln());
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let ratio = mean(&logarithms);
        // Symmetric on the logarithmic scale: standard deviation 0.166 / sqrt(4000) = 0.0026; four of them.
        assert!(ratio.abs() < 0.011, "{ratio}");
        // A part of area a fits if |ln(ratio)| <= -ln(a), which has probability min(1, -ln(a) / ln(4/3)); with a uniform
        // over 0.08..1 the mean area of those that fit is 0.37699 / 0.78902 = 0.4778. Standard deviation
        // 0.25 / sqrt(4000) = 0.004; four of them.
        assert!((mean(&areas) - 0.4778).abs() < 0.016, "{}", mean(&areas));
        let smallest = areas.iter().copied().fold(1.0, f64::min);
        assert!((0.078..0.1).contains(&smallest), "{smallest}");
    }

    #[test]
    fn strips_give_their_middle() {
        let mut draw = draws(0, 0, Purpose::ResizedCrop);
        let crop = RandomResizedCrop::new((1.0, 1.0), (0.75, 4.0 / 3.0)).unwrap();
        assert_eq!(crop.part([30, 100], &mut draw), ([0, 30], [30, 40]));
        assert_eq!(crop.part([100, 30], &mut draw), ([30, 0], [40, 30]));
    }

    #[test]
    fn the_result_has_the_size_asked_for() {
        for shape in [[3, 40, 50], [1, 1, 1], [1, 300, 2]] {
            let image = Image { shape, pixels: vec![3; shape.iter().product()] };
            let cropped =
                RandomResizedCrop::default().apply(&image, [8, 9], &mut draws(0, 1, Purpose::ResizedCrop));
            assert_eq!(cropped, Image { shape: [shape[0], 8, 9], pixels: vec![3; shape[0] * 72] });
        }
    }

    #[test]
    fn the_shorter_side_is_resized_first() {
        let pixels = (0..3 * 60 * 90).map(|index: u32| (index * 37 % 251) as u8).collect();
        let image = Image { shape: [3, 60, 90], pixels };
        let whole = Window { top: 0.0, left: 0.0, height: 60.0, width: 90.0 };
        let resized = resize(&image, whole, [40, 60]);
        let crop = RandomResizedCrop::default();
        let with_resize = crop.with_shorter_side(NonZeroUsize::new(40).unwrap());
        for id in 0..20 {
            let draw = || draws(3, id, Purpose::ResizedCrop);
            let expected = crop.apply(&resized, [16, 16], &mut draw());
            let found = with_resize.apply(&image, [16, 16], &mut draw());
            assert_eq!(found.shape, expected.shape);
            // The filter's places are the same but for rounding, which may turn the rounding to a byte by one level, and
            // that of the second resize by another.
            let largest = found.pixels.iter().zip(&expected.pixels).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(largest <= Some(2), "{largest:?}");
            assert_ne!(found, crop.apply(&image, [16, 16], &mut draw()));
        }
        // A strip that would be 256 x 25 600 pixels as a whole.
        let strip = Image { shape: [1, 1, 100], pixels: vec![3; 100] };
        let crop = RandomResizedCrop::default().with_shorter_side(NonZeroUsize::new(256).unwrap());
        let cropped = crop.apply(&strip, [8, 8], &mut draws(0, 1, Purpose::ResizedCrop));
        assert_eq!(cropped, Image { shape: [1, 8, 8], pixels: vec![3; 64] });
    }

    #[test]
    fn settings_are_read_as_they_are_written_and_checked() {
        let crop = RandomResizedCrop::default();
        let text = serde_json::to_string(&crop).unwrap();
        // Written, so that it takes the place of the setting of another augmentation.
        assert!(text.contains("\"shorter_side\":null"), "{text}");
        assert_eq!(serde_json::from_str::<RandomResizedCrop>(&text).unwrap(), crop);
        let text = r#"{"scale": [0.08, 1.0], "ratio": [0.75, 1.25], "shorter_side": 256}"#;
        let read: RandomResizedCrop = serde_json::from_str(text).unwrap();
        assert_eq!(read.shorter_side, NonZeroUsize::new(256));
        assert!(serde_json::from_str::<RandomResizedCrop>(&text.replace("256", "0")).is_err());
        assert_eq!(serde_json::from_str::<RandomResizedCrop>("{}").unwrap(), crop);
        for (text, expected) in [
            (r#"{"scale": [0, 1]}"#, "above 0"),
            (r#"{"size": 1}"#, "unknown field `size`"),
            (r#"{"shorter_side": 4097}"#, "4097; it must be at least 1 and at most 4096"),
        ] {
            let message = serde_json::from_str::<RandomResizedCrop>(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn refuses_ranges_that_make_no_sense() {
        for (scale, ratio) in [
            ((0.0, 1.0), (1.0, 1.0)),
            ((0.5, 0.4), (1.0, 1.0)),
            ((0.5, 1.5), (1.0, 1.0)),
            ((0.5, 1.0), (2.0, 1.0)),
        ] {
            assert!(matches!(RandomResizedCrop::new(scale, ratio), Err(DataError::InvalidSetting { .. })));
        }
        assert!(RandomResizedCrop::new((f64::NAN, 1.0), (1.0, 1.0)).is_err());
    }
}
