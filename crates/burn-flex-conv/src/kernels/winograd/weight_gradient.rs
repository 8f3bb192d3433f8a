//! The gradient of the weights: Gᵀ (Σ Bᵀ d B ⊙ A y Aᵀ) G, with the sum over all tiles.

use std::marker::PhantomData;

use macerator::{AutoArch, Simd, WithSimd};
use rayon::prelude::*;

use super::planes;
use super::tiles::{Gradients, Image, Inputs};
use super::transform::Method;
use crate::kernels::geometry::Geometry;
use crate::kernels::simd::{CHANNELS, load, splat, store};
use crate::kernels::sums::{PADDING, ROWS, Rows, Sums};

/// Computes the gradient of the weights, `[outputs, channels, 3, 3]`, from images and gradients with the
/// channels last.
///
/// Every sum runs from the first tile to the last, so it does not depend on the number of threads.
pub(crate) fn weight_gradient<M: Method<TILE, POINTS>, const TILE: usize, const POINTS: usize>(
    geometry: &Geometry,
    images: &[f32],
    gradients: &[f32],
) -> Vec<f32> {
    let &Geometry { channels, outputs, .. } = geometry;
    let size = geometry.output_size();
    let mut sums = Sums::new([channels, outputs], POINTS * POINTS);
    let across = size[1].div_ceil(TILE);
    let images = images.chunks_exact(channels * geometry.input[0] * geometry.input[1]);
    let gradients = gradients.chunks_exact(outputs * size[0] * size[1]);
    let strips: Vec<Strip> = images
        .zip(gradients)
        .flat_map(|(image, gradient)| {
            (0..size[0]).step_by(TILE).map(move |row| Strip { image, gradient, row })
        })
        .collect();
    let threads = rayon::current_num_threads();
    let at_once = (sums.rows_at_once() / across).max(threads);
    let together = (ROWS.div_ceil(across)).min(at_once.min(strips.len()).div_ceil(threads)).max(1);
    let mut tiles: Vec<Rows> = Vec::new();
    for strips in strips.chunks(at_once) {
        tiles.resize_with(strips.len().div_ceil(together), Rows::default);
        tiles.par_iter_mut().zip(strips.par_chunks(together)).for_each(|(tiles, strips)| {
            let method = PhantomData;
            AutoArch::new().dispatch(Evaluation::<M, TILE, POINTS> {
                method,
                geometry,
                across,
                strips,
                tiles,
            });
        });
        sums.add(&tiles);
    }
    sums.weights(9 * channels, |sums, weights| {
        let method = PhantomData;
        AutoArch::new().dispatch(Interpolation::<M, TILE, POINTS> { method, channels, sums, weights });
    })
}

/// A row of tiles of an image and of its output's gradient.
struct Strip<'a> {
    image: &'a [f32],
    gradient: &'a [f32],
    row: usize,
}

struct Evaluation<'a, 'b, M, const TILE: usize, const POINTS: usize> {
    method: PhantomData<M>,
    geometry: &'a Geometry,
    across: usize,
    strips: &'a [Strip<'b>],
    tiles: &'a mut Rows,
}

impl<M: Method<TILE, POINTS>, const TILE: usize, const POINTS: usize> WithSimd
    for Evaluation<'_, '_, M, TILE, POINTS>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Self { geometry, across, strips, tiles, .. } = self;
        let &Geometry { channels, outputs, input, before, .. } = geometry;
        let size = geometry.output_size();
        tiles.count = strips.len() * across;
        let (inputs, input_step) = planes::<POINTS>(&mut tiles.inputs, tiles.count * channels);
        let (gradients, gradient_step) = planes::<POINTS>(&mut tiles.gradients, tiles.count * outputs);
        for (number, strip) in strips.iter().enumerate() {
            let image = Image { values: strip.image, size: input, channels };
            let gradient = Image { values: strip.gradient, size, channels: outputs };
            for column in 0..across {
                let (tile, first) = (number * across + column, [strip.row, column * TILE]);
                let block = tiles.count * CHANNELS;
                let to = &mut inputs[tile * CHANNELS..];
                image.evaluate::<S, Inputs<M, TILE>, POINTS, POINTS>(first, before, to, [input_step, block]);
                let to = &mut gradients[tile * CHANNELS..];
                gradient.evaluate::<S, Gradients<M>, TILE, POINTS>(first, [0, 0], to, [gradient_step, block]);
            }
        }
    }
}

/// Computes the weights' gradient for a group of vectors of outputs.
struct Interpolation<'a, M, const TILE: usize, const POINTS: usize> {
    method: PhantomData<M>,
    channels: usize,
    sums: &'a [f32],
    weights: &'a mut [f32],
}

impl<M: Method<TILE, POINTS>, const TILE: usize, const POINTS: usize> WithSimd
    for Interpolation<'_, M, TILE, POINTS>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Self { channels, sums, weights, .. } = self;
        let width = weights.len() / (channels * 9);
        let plane = channels * width + PADDING;
        for channel in 0..channels {
            for output in (0..width).step_by(S::lanes32()) {
                let mut rows = [[splat::<S>(0.0); 3]; POINTS];
                for y in 0..POINTS {
                    let mut row = [splat::<S>(0.0); POINTS];
                    for x in 0..POINTS {
                        row[x] = load::<S>(&sums[(y * POINTS + x) * plane + channel * width + output..]);
                    }
                    rows[y] = M::weights_of_points::<S>(row);
                }
                for x in 0..3 {
                    let mut column = [splat::<S>(0.0); POINTS];
                    for y in 0..POINTS {
                        column[y] = rows[y][x];
                    }
                    let column = M::weights_of_points::<S>(column);
                    for (y, value) in column.into_iter().enumerate() {
                        let mut values = [0.0; CHANNELS];
                        store::<S>(value, &mut values);
                        for (lane, value) in values.into_iter().enumerate().take(S::lanes32()) {
                            weights[((output + lane) * channels + channel) * 9 + 3 * y + x] = value;
                        }
                    }
                }
            }
        }
    }
}
