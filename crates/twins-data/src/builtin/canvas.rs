use rand::{Rng, RngExt};

use crate::builtin::pen::{Segment, between, signed};
use crate::images::image::Image;

/// Side length in pixels.
pub(super) const SIZE: usize = 32;
const AREA: usize = SIZE * SIZE;

/// The inked fraction of each pixel, in [0, 1]: the union of the segments, with an edge one pixel wide.
pub(super) fn coverage(segments: &[Segment]) -> [f32; AREA] {
    let mut coverage = [0.0f32; AREA];
    for &Segment { from, to, radius } in segments {
        let reach = radius + 0.5;
        // Casts truncate towards zero and saturate at zero, so the span may include a pixel without ink, but contains
        // every inked pixel.
        let span = |a: f32, b: f32| {
            let (low, high) = (a.min(b) - reach - 0.5, a.max(b) + reach + 0.5);
            low as usize..(high as usize).min(SIZE)
        };
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length_squared = (dx * dx + dy * dy).max(1e-6);
        for row in span(from.1, to.1) {
            for column in span(from.0, to.0) {
                let (x, y) = (column as f32 + 0.5 - from.0, row as f32 + 0.5 - from.1);
                let along = ((x * dx + y * dy) / length_squared).clamp(0.0, 1.0);
                let (x, y) = (x - along * dx, y - along * dy);
                let distance = (x * x + y * y).sqrt();
                let inked = (reach - distance).clamp(0.0, 1.0);
                let pixel = &mut coverage[row * SIZE + column];
                *pixel = pixel.max(inked);
            }
        }
    }
    coverage
}

/// Paints the image: paper and ink in two colours of different brightness (either may be the brighter one), stains,
/// ruled lines and noise.
pub(super) fn paint(coverage: &[f32; AREA], draw: &mut impl Rng) -> Image {
    let contrast = between(draw, 0.25, 0.7);
    let darker = between(draw, 0.05, 0.92 - contrast);
    let (paper, ink) =
        if draw.random_bool(0.5) { (darker + contrast, darker) } else { (darker, darker + contrast) };
    let mut tinted = |brightness: f32| [0; 3].map(|_| brightness + 0.08 * signed(draw));
    let (paper, ink) = (tinted(paper), tinted(ink));
    let texture = texture(draw);
    let grain = between(draw, 0.01, 0.04);
    let mut noise = [0u8; 3 * AREA];
    draw.fill_bytes(&mut noise);

    let mut pixels = Vec::with_capacity(3 * AREA);
    for channel in 0..3 {
        let noise = &noise[channel * AREA..][..AREA];
        for ((&inked, &shade), &noise) in coverage.iter().zip(&texture).zip(noise) {
            let surface = paper[channel] + shade;
            let value = surface + inked * (ink[channel] - surface) + grain * (f32::from(noise) / 127.5 - 1.0);
            pixels.push((value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8);
        }
    }
    Image { shape: [3, SIZE, SIZE], pixels }
}

/// The brightness added to the paper: a gradient, stains (interpolated values of a coarse grid), and sometimes ruled
/// lines.
fn texture(draw: &mut impl Rng) -> [f32; AREA] {
    const CELLS: usize = 5;
    const CELL: f32 = SIZE as f32 / CELLS as f32;
    let slope = [0.08 * signed(draw), 0.08 * signed(draw)];
    let strength = between(draw, 0.02, 0.12);
    let mut grid = [[0.0; CELLS + 1]; CELLS + 1];
    grid.iter_mut().flatten().for_each(|value| *value = strength * signed(draw));
    let (ruled, spacing) = (draw.random_bool(0.3), between(draw, 5.0, 9.0));
    let (line, offset, horizontal) =
        (0.15 * signed(draw), spacing * draw.random::<f32>(), draw.random_bool(0.5));

    let mut lines = [0.0; SIZE];
    if ruled {
        let mut position = offset;
        while position < SIZE as f32 {
            lines[position as usize] = line;
            position += spacing;
        }
    }
    // The position of each row or column on the grid: the cell, and the offset within it.
    let places: [(usize, f32); SIZE] = std::array::from_fn(|position| {
        let place = (position as f32 + 0.5) / CELL;
        (place as usize, place - (place as usize) as f32)
    });

    let mut texture = [0.0; AREA];
    for (row, pixels) in texture.chunks_exact_mut(SIZE).enumerate() {
        let (cell, part) = places[row];
        let stains: [f32; CELLS + 1] = std::array::from_fn(|column| {
            grid[cell][column] + part * (grid[cell + 1][column] - grid[cell][column])
        });
        let start = slope[1] * from_centre(row) + if horizontal { lines[row] } else { 0.0 };
        for (column, pixel) in pixels.iter_mut().enumerate() {
            let (cell, part) = places[column];
            let stain = stains[cell] + part * (stains[cell + 1] - stains[cell]);
            let line = if horizontal { 0.0 } else { lines[column] };
            *pixel = start + stain + slope[0] * from_centre(column) + line;
        }
    }
    texture
}

/// The position of a row or column on a scale from -0.5 to 0.5.
fn from_centre(position: usize) -> f32 {
    position as f32 / (SIZE - 1) as f32 - 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_covers_its_pixels() {
        // From the centre of pixel (4, 10) to that of (8, 10), one pixel wide.
        let segment = Segment { from: (4.5, 10.5), to: (8.5, 10.5), radius: 0.5 };
        let coverage = coverage(&[segment]);
        let inked: Vec<usize> = (0..AREA).filter(|&pixel| coverage[pixel] > 0.0).collect();
        assert_eq!(inked, (4..=8).map(|column| 10 * SIZE + column).collect::<Vec<_>>());
        assert!(inked.iter().all(|&pixel| coverage[pixel] == 1.0));
    }

    #[test]
    fn an_edge_is_one_pixel_wide() {
        // Radius 1: pixels at distance 1 from the axis are half covered.
        let segment = Segment { from: (4.5, 10.5), to: (8.5, 10.5), radius: 1.0 };
        let coverage = coverage(&[segment]);
        assert_eq!([8, 9, 10, 11, 12].map(|row| coverage[row * SIZE + 6]), [0.0, 0.5, 1.0, 0.5, 0.0]);
    }

    #[test]
    fn ink_outside_the_canvas_is_lost() {
        let segment = Segment { from: (-9.0, -9.0), to: (-3.0, 60.0), radius: 1.0 };
        assert!(coverage(&[segment]).iter().all(|&pixel| pixel == 0.0));
    }
}
