//! Converts interleaved pixels to planes with little memory.

use ::image::DynamicImage;

use crate::images::decode::Channels;
use crate::images::image::Image;

/// The number of pixels converted at a time.
const STRIP: usize = 1 << 18;

/// How a decoded image is converted to planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// Into new memory.
    Copied,
    /// In place, which takes three times as long.
    InPlace,
}

impl Conversion {
    /// The number of bytes that the conversion takes in addition to the decoded image; `None` if it does not apply to
    /// an image of that kind.
    pub(crate) fn cost(self, channels: Channels, color: ::image::ColorType, area: u64) -> Option<u64> {
        use ::image::ColorType as C;
        match (self, channels, color) {
            (_, Channels::Grey, C::L8) => Some(0),
            (Self::InPlace, Channels::Rgb, C::Rgb8) => Some(0),
            (Self::InPlace, ..) => None,
            (Self::Copied, ..) => {
                Some((channels.count() as u64).saturating_mul(area).saturating_add(16 * STRIP as u64))
            }
        }
    }
}

/// Converts a decoded image to planes.
pub(crate) fn planes(image: DynamicImage, channels: Channels, conversion: Conversion) -> Image {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let shape = [channels.count(), height, width];
    match (channels, conversion, image) {
        (Channels::Grey, _, DynamicImage::ImageLuma8(image)) => Image { shape, pixels: image.into_raw() },
        (Channels::Rgb, Conversion::InPlace, DynamicImage::ImageRgb8(image)) => {
            let mut pixels = image.into_raw();
            separate(&mut pixels);
            Image { shape, pixels }
        }
        (Channels::Rgb, _, DynamicImage::ImageRgb8(image)) => Image::from_interleaved(shape, image.as_raw()),
        (_, _, image) => in_strips(&image, shape, channels),
    }
}

/// Converts some lines at a time, so that no second complete image is allocated.
fn in_strips(image: &DynamicImage, shape: [usize; 3], channels: Channels) -> Image {
    let [count, height, width] = shape;
    let area = height * width;
    let mut pixels = vec![0; count * area];
    // Even one line may be longer than a strip.
    let tiles = |side: usize, step: usize| (0..side).step_by(step).map(move |at| (at, step.min(side - at)));
    let columns = width.clamp(1, STRIP);
    for (top, lines) in tiles(height, (STRIP / columns).max(1)) {
        for (left, across) in tiles(width, columns) {
            let tile = image.crop_imm(left as u32, top as u32, across as u32, lines as u32).into_rgb8();
            for (line, row) in tile.as_raw().chunks_exact(3 * across).enumerate() {
                let start = (top + line) * width + left;
                for (column, rgb) in row.chunks_exact(3).enumerate() {
                    match channels {
                        Channels::Grey => pixels[start + column] = luma(rgb),
                        Channels::Rgb => {
                            for (plane, value) in rgb.iter().enumerate() {
                                pixels[plane * area + start + column] = *value;
                            }
                        }
                    }
                }
            }
        }
    }
    Image { shape, pixels }
}

/// Pillow's fixed-point form of the BT.601 luma, so that grey images are the same as in PyTorch.
fn luma(rgb: &[u8]) -> u8 {
    let [red, green, blue] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
    ((19_595 * red + 38_470 * green + 7_471 * blue + 0x8000) >> 16) as u8
}

/// Separates red, green and blue of interleaved pixels in place: recursively in each half, then by exchanging the
/// colours between the halves.
fn separate(pixels: &mut [u8]) {
    const SMALL: usize = 4096;
    let count = pixels.len() / 3;
    if count <= SMALL {
        let mut copy = [0; 3 * SMALL];
        let copy = &mut copy[..pixels.len()];
        copy.copy_from_slice(pixels);
        for (index, rgb) in copy.chunks_exact(3).enumerate() {
            for (plane, value) in rgb.iter().enumerate() {
                pixels[plane * count + index] = *value;
            }
        }
        return;
    }
    let left = count / 2;
    let right = count - left;
    let (first, second) = pixels.split_at_mut(3 * left);
    separate(first);
    separate(second);
    // R1 G1 B1 R2 G2 B2: first R2 before G1 B1, then G2 before B1.
    pixels[left..3 * left + right].rotate_left(2 * left);
    pixels[count + left..count + 2 * left + right].rotate_left(left);
}

#[cfg(test)]
mod tests {
    use ::image::{Rgb, RgbImage};

    use super::*;

    #[test]
    fn both_conversions_give_the_same_planes() {
        for (width, height) in [(1, 1), (3, 5), (200, 100), (111, 301)] {
            let image =
                RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x * 7 + y * 3) as u8]));
            let copied = planes(image.clone().into(), Channels::Rgb, Conversion::Copied);
            assert_eq!(planes(image.clone().into(), Channels::Rgb, Conversion::InPlace), copied);
            let rgba = DynamicImage::from(DynamicImage::from(image).to_rgba16());
            assert_eq!(planes(rgba, Channels::Rgb, Conversion::Copied), copied);
        }
    }

    #[test]
    fn lines_longer_than_a_strip_are_converted() {
        let image =
            DynamicImage::from(RgbImage::from_fn(STRIP as u32 + 5, 2, |x, y| Rgb([x as u8, y as u8, 9])));
        let expected = planes(image.clone(), Channels::Rgb, Conversion::Copied);
        assert_eq!(planes(image.to_rgba8().into(), Channels::Rgb, Conversion::Copied), expected);
    }
}
