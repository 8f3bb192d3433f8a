//! Kernels of 3 × 3 weights by Winograd's minimal filtering (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR
//! 2016, section 4).
//!
//! With F(4 × 4, 3 × 3), a tile of 4 × 4 outputs takes 36 products per channel, and direct summation takes 144. A tile of 6 × 6 inputs and
//! the weights are polynomials in two variables. They are evaluated at 6 × 6 points, multiplied there, and interpolated. The points are 0,
//! ±3/4, ±3/2 and infinity instead of the paper's 0, ±1, ±2 and infinity. Their powers are closer together, which halves the rounding
//! error, to about twice that of direct summation.
//!
//! Small images use F(2 × 2, 3 × 3), with 16 products instead of 36, at the points 0, ±1 and infinity. The gradients of the input and of
//! the weights use the same tiles and points.

mod convolution;
mod tiles;
mod transform;
mod weight_gradient;

use super::geometry::Geometry;
use super::simd::CHANNELS;
use super::sums::PADDING;

pub(crate) use convolution::Winograd;
pub(crate) use transform::{Large, Small};
pub(crate) use weight_gradient::weight_gradient;

/// Tiles of 2 × 2 or of 4 × 4 outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tiles {
    Small,
    Large,
}

/// Returns the tiles for a convolution, or `None` if it is computed by another method.
///
/// The choice depends only on the sizes of the convolution, so the values of an image do not depend on the batch.
pub(crate) fn tiles(geometry: &Geometry) -> Option<Tiles> {
    let &Geometry { channels, outputs, kernel, stride, before, .. } = geometry;
    let size = geometry.output_size();
    let tiles = |side: usize| size.iter().map(|size| size.div_ceil(side)).product::<usize>();
    let takes = kernel == [3, 3]
        && stride == [1, 1]
        && before.iter().all(|before| *before <= 2)
        && [channels, outputs].iter().all(|count| *count >= FEWEST_CHANNELS && count % CHANNELS == 0);
    // Large tiles also compute values beyond the outputs, which are discarded: at most a fifth of the outputs.
    let fits = 5 * tiles(4) * 16 <= 6 * size[0] * size[1];
    let is_light = 36 * channels * outputs * size_of::<f32>() <= MOST_BYTES;
    if takes && fits && is_light && tiles(4) >= FEWEST_TILES {
        Some(Tiles::Large)
    } else if takes && tiles(2) >= FEWEST_TILES {
        Some(Tiles::Small)
    } else {
        None
    }
}

/// Returns the tiles for the gradient of the weights.
pub(crate) fn weight_gradient_tiles(geometry: &Geometry) -> Option<Tiles> {
    tiles(geometry).filter(|_| geometry.channels.min(geometry.outputs) >= 2 * FEWEST_CHANNELS)
}

/// Minimum number of channels. With fewer, transforming the tiles takes longer than the products that it saves.
const FEWEST_CHANNELS: usize = 32;

/// Minimum number of tiles in an image. With fewer, the weights, which are more numerous at the points, are read too often.
const FEWEST_TILES: usize = 4;

/// Maximum size of the weights at the points of large tiles, in bytes. Reading more would take longer than the products that it saves.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Returns memory for one plane of values per point, and the distance from one plane to the next, in values.
fn planes<const POINTS: usize>(memory: &mut Vec<f32>, values: usize) -> (&mut [f32], usize) {
    let step = values + PADDING;
    let length = POINTS * POINTS * step;
    if memory.len() < length {
        memory.resize(length, 0.0);
    }
    (&mut memory[..length], step)
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;
    use crate::format::Format;
    use crate::kernels::addend::Addend;
    use crate::kernels::{forward, input_gradient, weight_gradient as direct};

    /// Values between -1 and 1 that repeat after a long time only.
    fn values(count: usize, seed: u32) -> Vec<f32> {
        let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let states = iter::successors(Some(seed), next).skip(1);
        states.map(|state| (state >> 8) as f32 / (1 << 23) as f32 - 1.0).take(count).collect()
    }

    /// The convolution in double precision, channels last.
    fn exact(geometry: &Geometry, image: &[f32], weight: &[f32]) -> Vec<f64> {
        let &Geometry { channels, outputs, input: [height, width], before, .. } = geometry;
        let [rows, columns] = geometry.output_size();
        let mut exact = vec![0.0; rows * columns * outputs];
        for (at, sum) in exact.iter_mut().enumerate() {
            let [y, x, output] = [at / outputs / columns, at / outputs % columns, at % outputs];
            for (ky, kx) in (0..3).flat_map(|ky| (0..3).map(move |kx| (ky, kx))) {
                let [y, x] = [(y + ky).wrapping_sub(before[0]), (x + kx).wrapping_sub(before[1])];
                if y < height && x < width {
                    for channel in 0..channels {
                        let value = image[(y * width + x) * channels + channel];
                        let factor = weight[((output * channels + channel) * 3 + ky) * 3 + kx];
                        *sum += f64::from(value) * f64::from(factor);
                    }
                }
            }
        }
        exact
    }

    /// Root of the mean square of the errors, in parts of that of the values.
    fn error(values: &[f32], exact: &[f64]) -> f64 {
        assert_eq!(values.len(), exact.len());
        let square = |of: &mut dyn Iterator<Item = f64>| of.map(|value| value * value).sum::<f64>();
        let errors = &mut values.iter().zip(exact).map(|(value, exact)| f64::from(*value) - exact);
        (square(errors) / square(&mut exact.iter().copied())).sqrt()
    }

    fn written(count: usize, run: impl FnOnce(&mut [f32])) -> Vec<f32> {
        let mut outputs = vec![0.0; count];
        run(&mut outputs);
        outputs
    }

    fn geometry(
        [channels, outputs]: [usize; 2],
        input: [usize; 2],
        before: [usize; 2],
        after: [usize; 2],
    ) -> Geometry {
        Geometry { channels, outputs, input, kernel: [3, 3], stride: [1, 1], before, after }
    }

    /// Bounds on the figures that the crate's documentation states.
    #[test]
    fn the_rounding_error_is_three_times_that_of_direct_summation_at_most() {
        for channels in [32, 64, 128, 256] {
            let geometry = geometry([channels, 32], [11, 9], [1, 1], [1, 1]);
            let image = values(channels * 11 * 9, 1);
            let weight = values(channels * 32 * 9, 2);
            let exact = exact(&geometry, &image, &weight);
            let direct = forward::forward(&geometry, &weight);
            let small = Winograd::<Small, 2, 4>::forward(&geometry, &weight);
            let large = Winograd::<Large, 4, 6>::forward(&geometry, &weight);
            let error = |run: &dyn Fn(&mut [f32])| error(&written(exact.len(), run), &exact);
            let direct = error(&|to| direct.run(&image, Format::ChannelsLast, Addend::Nothing, to));
            let small = error(&|to| small.run(&image, Addend::Nothing, to));
            let large = error(&|to| large.run(&image, Addend::Nothing, to));
            eprintln!("{channels} channels: {small:.2e}, {large:.2e}, direct summation {direct:.2e}");
            assert!(small < 1.5 * direct && large < 3.0 * direct && large < 2e-6);
        }
    }

    #[test]
    fn tiles_suit_the_sizes() {
        let tiles = |channels, input| tiles(&geometry(channels, input, [1, 1], [1, 1]));
        assert_eq!(tiles([64, 64], [8, 8]), Some(Tiles::Large));
        assert_eq!(tiles([64, 64], [7, 7]), Some(Tiles::Small));
        assert_eq!(tiles([64, 64], [4, 4]), Some(Tiles::Small));
        assert_eq!(tiles([512, 512], [8, 8]), Some(Tiles::Small));
        // What the tests of the crate take for layers of one kind and the other.
        assert_eq!(tiles([64, 80], [5, 5]), Some(Tiles::Small));
        assert_eq!(tiles([64, 80], [11, 11]), Some(Tiles::Large));
        assert_eq!(tiles([64, 64], [2, 2]), None);
        assert_eq!(tiles([16, 64], [8, 8]), None);
        assert_eq!(tiles([64, 40], [8, 8]), None);
    }

    /// Rectangles, tiles that reach beyond the output, and every padding that there is.
    #[test]
    fn all_passes_agree_with_direct_summation() {
        agree::<Small, 2, 4>();
        agree::<Large, 4, 6>();
    }

    fn agree<M: transform::Method<TILE, POINTS>, const TILE: usize, const POINTS: usize>() {
        let cases = [([1, 1], [1, 1], [8, 8]), ([0, 2], [1, 0], [9, 13]), ([2, 0], [2, 3], [5, 6])];
        for (before, after, input) in cases {
            let geometry = geometry([48, 112], input, before, after);
            let images = values(3 * 48 * input[0] * input[1], 1);
            let weight = values(48 * 112 * 9, 2);
            let bias = values(112, 3);
            let close = |winograd: &[f32], direct: &[f32]| {
                let direct: Vec<f64> = direct.iter().map(|value| f64::from(*value)).collect();
                let error = error(winograd, &direct);
                assert!(error < 2e-6, "{error} {geometry:?}");
            };
            let size = geometry.output_size();
            let direct = forward::forward(&geometry, &weight);
            let winograd = Winograd::<M, TILE, POINTS>::forward(&geometry, &weight);
            let count = 3 * 112 * size[0] * size[1];
            let addend = Addend::Bias(&bias);
            let output = written(count, |to| direct.run(&images, Format::ChannelsLast, addend, to));
            close(&written(count, |to| winograd.run(&images, addend, to)), &output);
            let direct = input_gradient::input_gradient(&geometry, &weight);
            let winograd = Winograd::<M, TILE, POINTS>::input_gradient(&geometry, &weight);
            let (count, addend) = (images.len(), Addend::Nothing);
            let gradient = written(count, |to| direct.run(&output, Format::ChannelsLast, addend, to));
            close(&written(count, |to| winograd.run(&output, addend, to)), &gradient);
            let [x, y] = [&images, &output].map(|values| (&values[..], Format::ChannelsLast));
            let gradient = direct::weight_gradient(&geometry, x, y);
            close(&weight_gradient::<M, TILE, POINTS>(&geometry, &images, &output), &gradient);
        }
    }
}
