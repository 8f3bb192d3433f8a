use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::images::image::Image;

/// A rectangle in an image, whose edges may lie between pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    pub(crate) top: f64,
    pub(crate) left: f64,
    pub(crate) height: f64,
    pub(crate) width: f64,
}

/// Resizes a window of an image to `[height, width]` with the bilinear filter, widened when shrinking
/// (antialiasing), as Pillow does.
///
/// The filter includes pixels just outside the window, as if the whole image were resized and then cropped.
pub(crate) fn resize(image: &Image, window: Window, size: [usize; 2]) -> Image {
    let [channels, height, width] = image.shape;
    let whole = Window { top: 0.0, left: 0.0, height: height as f64, width: width as f64 };
    if window == whole && size == [height, width] {
        return image.clone();
    }
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
        window.left,
        window.top,
        window.width,
        window.height,
    );
    let [to_height, to_width] = size.map(|side| side as u32);
    let mut resizer = Resizer::new();
    let mut pixels = Vec::with_capacity(channels * size[0] * size[1]);
    for plane in image.pixels.chunks_exact(height * width) {
        // Only one pixel type: `Resizer::resize` would compile the filters for all twenty, which takes a minute and a
        // half.
        let plane = TypedImageRef::<U8>::from_buffer(width as u32, height as u32, plane)
            .expect("a plane holds all pixels of its shape");
        let mut resized = TypedImage::<U8>::new(to_width, to_height);
        resizer.resize_typed(&plane, &mut resized, &options).expect("the window lies in the image");
        pixels.extend(resized.pixels().iter().map(|pixel| pixel.0));
    }
    Image { shape: [channels, size[0], size[1]], pixels }
}

/// Crops whole pixels from an image.
pub(crate) fn cut(image: &Image, [top, left]: [usize; 2], [height, width]: [usize; 2]) -> Image {
    let [channels, from_height, from_width] = image.shape;
    let mut pixels = Vec::with_capacity(channels * height * width);
    for plane in image.pixels.chunks_exact(from_height * from_width) {
        for row in plane.chunks_exact(from_width).skip(top).take(height) {
            pixels.extend_from_slice(&row[left..left + width]);
        }
    }
    Image { shape: [channels, height, width], pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(image: &Image) -> Window {
        let [_, height, width] = image.shape;
        Window { top: 0.0, left: 0.0, height: height as f64, width: width as f64 }
    }

    #[test]
    fn halving_weighs_four_pixels() {
        // Shrinking by two widens the triangle to two pixels each side: weights 1/8, 3/8, 3/8, 1/8, of which the
        // first output pixel loses the one outside the image: (3 · 0 + 3 · 70 + 140) / 7 = 50.
        let image = Image { shape: [1, 1, 4], pixels: vec![0, 70, 140, 210] };
        let resized = resize(&image, whole(&image), [1, 2]);
        assert_eq!(resized.pixels, [50, 160]);
    }

    #[test]
    fn every_channel_is_resized() {
        let image = Image { shape: [2, 2, 2], pixels: vec![8, 8, 8, 8, 200, 200, 200, 200] };
        let resized = resize(&image, whole(&image), [3, 1]);
        assert_eq!(resized, Image { shape: [2, 3, 1], pixels: vec![8, 8, 8, 200, 200, 200] });
        assert_eq!(resize(&image, whole(&image), [2, 2]), image);
    }

    #[test]
    fn cuts_rows_and_columns() {
        let image = Image { shape: [2, 2, 3], pixels: (0..12).collect() };
        assert_eq!(cut(&image, [1, 1], [1, 2]), Image { shape: [2, 1, 2], pixels: vec![4, 5, 10, 11] });
    }
}
