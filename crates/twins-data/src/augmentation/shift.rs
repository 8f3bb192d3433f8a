use std::ops::Range;

use crate::images::image::Image;

/// Returns the window of the image's size whose first row and column are `top` and `left`; pixels outside the image are
/// black.
pub(super) fn shifted(image: &Image, top: i64, left: i64) -> Image {
    let [_, height, width] = image.shape;
    let mut pixels = vec![0; image.pixels.len()];
    let columns = overlap(left, width);
    let rows = overlap(top, height);
    let planes = pixels.chunks_exact_mut((height * width).max(1));
    for (to, from) in planes.zip(image.pixels.chunks_exact((height * width).max(1))) {
        for row in rows.clone() {
            let source = (row as i64 + top) as usize * width;
            let start = (source as i64 + columns.start as i64 + left) as usize;
            to[row * width..][columns.clone()].copy_from_slice(&from[start..][..columns.len()]);
        }
    }
    Image { shape: image.shape, pixels }
}

/// The positions of a window, which begins at `offset`, that lie inside the image.
fn overlap(offset: i64, size: usize) -> Range<usize> {
    let size = size as i64;
    let start = (-offset).clamp(0, size);
    let end = (size - offset).clamp(start, size);
    start as usize..end as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(shape: [usize; 3]) -> Image {
        Image { shape, pixels: (1..=shape.iter().product::<usize>() as u8).collect() }
    }

    #[test]
    fn shifts_with_black() {
        let image = counting([2, 2, 3]);
        assert_eq!(shifted(&image, 0, 0), image);
        assert_eq!(shifted(&image, 1, -1).pixels, [0, 4, 5, 0, 0, 0, 0, 10, 11, 0, 0, 0]);
        assert_eq!(shifted(&image, -1, 2).pixels, [0, 0, 0, 3, 0, 0, 0, 0, 0, 9, 0, 0]);
        assert_eq!(shifted(&image, 5, -7).pixels, [0; 12]);
    }
}
