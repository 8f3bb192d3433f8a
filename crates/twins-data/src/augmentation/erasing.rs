use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::augmentation::rectangle::{
    Longer, random_corner, random_rectangle, validate_ratio, validate_scale,
};
use crate::error::DataError;
use crate::images::image::Image;

/// What a blanked part of an image is filled with; black by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// One value for all pixels and channels; 0 is black.
    Constant(u8),
    /// Uniform noise over [0, 1], independent for each pixel and channel. (torchvision erases after normalisation and
    /// draws from a normal distribution; here images stay in [0, 1].)
    Noise,
}

impl Default for Fill {
    fn default() -> Self {
        Self::Constant(0)
    }
}

impl Fill {
    /// Fills rows `top..bottom` and columns `left..right` of every channel.
    fn apply(
        self,
        image: &mut Image,
        [top, bottom]: [usize; 2],
        [left, right]: [usize; 2],
        draw: &mut impl Rng,
    ) {
        let [_, height, width] = image.shape;
        for plane in image.pixels.chunks_exact_mut((height * width).max(1)) {
            for row in plane.chunks_exact_mut(width).take(bottom).skip(top) {
                match self {
                    Self::Constant(value) => row[left..right].fill(value),
                    Self::Noise => draw.fill_bytes(&mut row[left..right]),
                }
            }
        }
    }
}

/// Blanks a square whose centre is anywhere in the image; the part outside the image is cut off (T. DeVries, G. Taylor,
/// "Improved regularization of convolutional neural networks with Cutout", 2017, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(!try_from))]
#[serde(try_from = "CutoutSettings")]
pub struct Cutout {
    /// The side of the square in pixels.
    side: usize,
    /// What the square is filled with.
    fill: Fill,
}

/// The settings as they are deserialised, before validation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CutoutSettings {
    side: usize,
    #[serde(default)]
    fill: Fill,
}

impl TryFrom<CutoutSettings> for Cutout {
    type Error = DataError;

    fn try_from(settings: CutoutSettings) -> Result<Self, DataError> {
        Ok(Self::new(settings.side)?.with_fill(settings.fill))
    }
}

impl Cutout {
    /// Creates a cutout with a black square of `side` pixels; the paper uses 16 for CIFAR-10 and 8 for CIFAR-100.
    ///
    /// # Errors
    /// [`DataError::InvalidSetting`] if `side` is 0.
    pub fn new(side: usize) -> Result<Self, DataError> {
        if side == 0 {
            return Err(DataError::InvalidSetting {
                name: "the side of Cutout",
                value: "0".into(),
                range: "at least 1",
            });
        }
        Ok(Self { side, fill: Fill::default() })
    }

    /// Sets what the square is filled with.
    pub fn with_fill(mut self, fill: Fill) -> Self {
        self.fill = fill;
        self
    }

    pub(crate) fn apply(self, image: &mut Image, draw: &mut impl Rng) {
        let [_, height, width] = image.shape;
        let mut reach = |size: usize| {
            let centre = draw.random_range(0..size.max(1) as u64) as usize;
            let start = centre.saturating_sub(self.side / 2);
            [start, (centre + self.side - self.side / 2).min(size)]
        };
        let (rows, columns) = (reach(height), reach(width));
        self.fill.apply(image, rows, columns, draw);
    }
}

/// Blanks a rectangle of random area, aspect ratio and position in some images, like torchvision's `RandomErasing` (Z.
/// Zhong et al., "Random erasing data augmentation", 2017, section 3).
///
/// | setting | default | purpose |
/// |---|---|---|
/// | `probability` | 0.5 | the fraction of images that lose a rectangle |
/// | `scale` | 0.02 to 0.33 | the rectangle's area, as a fraction of the image's; uniform |
/// | `ratio` | 0.3 to 3.3 | the rectangle's height divided by its width; uniform on a logarithmic scale |
/// | `fill` | black | what the rectangle is filled with |
///
/// If none of ten drawn rectangles fits into the image, the image stays unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(!try_from))]
#[serde(try_from = "ErasingSettings")]
pub struct RandomErasing {
    /// The fraction of images that lose a rectangle.
    probability: f64,
    /// Smallest and largest area of the rectangle, as a fraction of the image's.
    scale: (f64, f64),
    /// Smallest and largest height of the rectangle divided by its width.
    ratio: (f64, f64),
    /// What the rectangle is filled with.
    fill: Fill,
}

/// The settings as they are deserialised, before validation.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ErasingSettings {
    probability: f64,
    scale: (f64, f64),
    ratio: (f64, f64),
    fill: Fill,
}

impl Default for ErasingSettings {
    fn default() -> Self {
        let RandomErasing { probability, scale, ratio, fill } = RandomErasing::default();
        Self { probability, scale, ratio, fill }
    }
}

impl TryFrom<ErasingSettings> for RandomErasing {
    type Error = DataError;

    fn try_from(settings: ErasingSettings) -> Result<Self, DataError> {
        let ErasingSettings { probability, scale, ratio, fill } = settings;
        Ok(Self::new(probability, scale, ratio)?.with_fill(fill))
    }
}

impl Default for RandomErasing {
    fn default() -> Self {
        Self { probability: 0.5, scale: (0.02, 0.33), ratio: (0.3, 3.3), fill: Fill::default() }
    }
}

impl RandomErasing {
    /// Creates an erasing in black with the given probability, range of areas and range of aspect ratios.
    ///
    /// # Errors
    /// [`DataError::InvalidSetting`] unless `0 <= probability <= 1`, `0 < scale.0 <= scale.1 <= 1` and
    /// `0 < ratio.0 <= ratio.1`.
    pub fn new(probability: f64, scale: (f64, f64), ratio: (f64, f64)) -> Result<Self, DataError> {
        if !(0.0..=1.0).contains(&probability) {
            return Err(DataError::InvalidSetting {
                name: "the probability of erasing",
                value: probability.to_string(),
                range: "between 0 and 1",
            });
        }
        validate_scale(scale)?;
        validate_ratio(ratio)?;
        Ok(Self { probability, scale, ratio, fill: Fill::default() })
    }

    /// Sets what the rectangle is filled with.
    pub fn with_fill(mut self, fill: Fill) -> Self {
        self.fill = fill;
        self
    }

    pub(crate) fn apply(self, image: &mut Image, draw: &mut impl Rng) {
        let [_, height, width] = image.shape;
        if !draw.random_bool(self.probability) {
            return;
        }
        for _ in 0..10 {
            let part = random_rectangle([height, width], self.scale, self.ratio, draw, Longer::Height);
            if part[0] < height && part[1] < width {
                let [top, left] = random_corner([height, width], part, draw);
                return self.fill.apply(image, [top, top + part[0]], [left, left + part[1]], draw);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::{Purpose, draws};

    fn white() -> Image {
        Image { shape: [2, 40, 40], pixels: vec![255; 3200] }
    }

    /// How many pixels of the first channel are black, after checking that they form one rectangle in all channels.
    fn blanked(image: &Image) -> usize {
        let (first, second) = image.pixels.split_at(1600);
        assert_eq!(first, second);
        let black: Vec<(usize, usize)> =
            (0..1600).filter(|&pixel| first[pixel] == 0).map(|pixel| (pixel / 40, pixel % 40)).collect();
        let span = |values: Vec<usize>| match (values.iter().min(), values.iter().max()) {
            (Some(low), Some(high)) => high - low + 1,
            _ => 0,
        };
        let rows = span(black.iter().map(|place| place.0).collect());
        let columns = span(black.iter().map(|place| place.1).collect());
        assert_eq!(black.len(), rows * columns);
        black.len()
    }

    #[test]
    fn cutout_blanks_a_square_or_what_is_inside_of_it() {
        let cutout = Cutout::new(8).unwrap();
        let areas: Vec<usize> = (0..500)
            .map(|id| {
                let mut image = white();
                cutout.apply(&mut image, &mut draws(0, id, Purpose::Cutout));
                blanked(&image)
            })
            .collect();
        assert_eq!(areas.iter().max(), Some(&64));
        assert!(areas.iter().all(|&area| area >= 16));
        // The expected side is (40 · 8 − (4 + 3 + 2 + 1) − (1 + 2 + 3)) / 40 = 7.6 each way, so 57.8; a standard
        // deviation of at most 12 / sqrt(500) = 0.54, four of them.
        let mean = areas.iter().sum::<usize>() as f64 / 500.0;
        assert!((mean - 57.76).abs() < 2.2, "{mean}");
        assert!(matches!(Cutout::new(0), Err(DataError::InvalidSetting { .. })));
    }

    #[test]
    fn erasing_blanks_a_rectangle_of_half_of_the_images() {
        let areas: Vec<usize> = (0..2000)
            .map(|id| {
                let mut image = white();
                RandomErasing::default().apply(&mut image, &mut draws(0, id, Purpose::Erasing));
                blanked(&image)
            })
            .collect();
        let erased: Vec<usize> = areas.into_iter().filter(|&area| area > 0).collect();
        // 1000 expected, standard deviation 22: five of them.
        assert!((888..=1112).contains(&erased.len()), "{}", erased.len());
        // 2 % and 33 % of 1600 pixels, sides rounded by up to half a pixel.
        assert!(erased.iter().all(|&area| (20..=560).contains(&area)));
        let mean = erased.iter().sum::<usize>() as f64 / erased.len() as f64;
        // Uniform: (32 + 528) / 2 = 280, standard deviation 143 / sqrt(1000) = 4.5: four of them.
        assert!((mean - 280.0).abs() < 18.0, "{mean}");
    }

    #[test]
    fn noise_fills_every_channel_for_itself() {
        let mut image = white();
        let erasing = RandomErasing::new(1.0, (0.2, 0.2), (1.0, 1.0)).unwrap().with_fill(Fill::Noise);
        erasing.apply(&mut image, &mut draws(0, 0, Purpose::Erasing));
        let (first, second) = image.pixels.split_at(1600);
        assert_ne!(first, second);
        // 18 x 18 pixels, of which one in 256 is white by chance.
        let changed = first.iter().filter(|&&pixel| pixel != 255).count();
        assert!((310..=324).contains(&changed), "{changed}");
    }

    #[test]
    fn settings_are_read_as_they_are_written_and_checked() {
        for erasing in [
            RandomErasing::default(),
            RandomErasing::new(0.1, (0.1, 0.2), (0.5, 2.0)).unwrap().with_fill(Fill::Noise),
        ] {
            let json = serde_json::to_string(&erasing).unwrap();
            assert_eq!(serde_json::from_str::<RandomErasing>(&json).unwrap(), erasing);
        }
        let cutout = Cutout::new(16).unwrap().with_fill(Fill::Constant(128));
        let json = serde_json::to_string(&cutout).unwrap();
        assert_eq!(json, r#"{"side":16,"fill":{"constant":128}}"#);
        assert_eq!(serde_json::from_str::<Cutout>(&json).unwrap(), cutout);
        // What is not given has its default.
        let half = RandomErasing { probability: 0.25, ..RandomErasing::default() };
        assert_eq!(serde_json::from_str::<RandomErasing>(r#"{"probability": 0.25}"#).unwrap(), half);
        assert_eq!(serde_json::from_str::<Cutout>(r#"{"side": 8}"#).unwrap(), Cutout::new(8).unwrap());
        for (json, expected) in [
            (r#"{"probability": 1.5}"#, "between 0 and 1"),
            (r#"{"scale": [0.5, 0.1]}"#, "ascending"),
            (r#"{"chance": 0.5}"#, "unknown field `chance`"),
        ] {
            let message = serde_json::from_str::<RandomErasing>(json).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let message = serde_json::from_str::<Cutout>(r#"{"side": 0}"#).unwrap_err().to_string();
        assert!(message.contains("at least 1"), "{message}");
    }

    #[test]
    fn refuses_probabilities_that_are_none() {
        for probability in [-0.1, 1.1, f64::NAN] {
            assert!(RandomErasing::new(probability, (0.1, 0.2), (1.0, 1.0)).is_err());
        }
    }
}
