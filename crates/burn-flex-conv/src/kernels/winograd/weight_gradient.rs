//! The weights' gradient: Gᵀ (Σ Bᵀ d B ⊙ A y Aᵀ) G, the sum over all tiles.

use std::marker::PhantomData;

use macerator::{AutoArch, Simd, WithSimd};
use rayon::prelude::*;

use super::tiles::{Gradients, Image, Inputs};
use super::transform::Method;
use super::{PADDING, planes};
use crate::kernels::geometry::Geometry;
use crate::kernels::planes::Pixel;
use crate::kernels::product::{accumulate, vectors};
use crate::kernels::simd::{CHANNELS, lanes, load, splat, store};

/// The gradient of the weights, `[outputs, channels, 3, 3]`, from images and gradients with the channels last.
///
/// Every sum goes from the first tile to the last, so that it does not depend on the number of threads.
#[allow(private_bounds, reason = "the methods are this module's own")]
pub(crate) fn weight_gradient<M: Method<TILE, POINTS>, const TILE: usize, const POINTS: usize>(
    geometry: &Geometry,
    images: &[f32],
    gradients: &[f32],
) -> Vec<f32> {
    let &Geometry { channels, outputs, .. } = geometry;
    let size = geometry.output_size();
    let group = vectors(lanes()) * lanes();
    let mut sums = vec![0.0; POINTS * POINTS * (channels * outputs + PADDING * outputs.div_ceil(group))];
    let across = size[1].div_ceil(TILE);
    let images = images.chunks_exact(channels * geometry.input[0] * geometry.input[1]);
    let gradients = gradients.chunks_exact(outputs * size[0] * size[1]);
    let strips: Vec<Strip> = images
        .zip(gradients)
        .flat_map(|(image, gradient)| {
            (0..size[0]).step_by(TILE).map(move |row| Strip { image, gradient, row })
        })
        .collect();
    let of_strip = POINTS * POINTS * across * (channels + outputs) * size_of::<f32>();
    let threads = rayon::current_num_threads();
    let at_once = (ROUND.max(2 * size_of_val(&*sums)) / of_strip).max(threads);
    let together = (TOGETHER.div_ceil(across)).min(at_once.min(strips.len()).div_ceil(threads)).max(1);
    let mut blocks: Vec<Block> = Vec::new();
    for (round, strips) in strips.chunks(at_once).enumerate() {
        blocks.resize_with(strips.len().div_ceil(together), Block::default);
        blocks.par_iter_mut().zip(strips.par_chunks(together)).for_each(|(block, strips)| {
            AutoArch::new().dispatch(Evaluation::<M, TILE, POINTS> {
                method: PhantomData,
                geometry,
                across,
                strips,
                block,
            });
        });
        let groups = sums.par_chunks_mut(POINTS * POINTS * (channels * group + PADDING)).enumerate();
        groups.for_each(|(number, sums)| {
            let first = number * group;
            let width = group.min(outputs - first);
            sums.par_chunks_mut(channels * width + PADDING).enumerate().for_each(|(point, sums)| {
                let sums = &mut sums[..channels * width];
                if round == 0 {
                    // Written before it is read, so that the system need not map every page of new memory twice.
                    sums.fill(0.0);
                }
                AutoArch::new().dispatch(Products { geometry, blocks: &blocks, point, first, width, sums });
            });
        });
    }
    let mut weights = vec![0.0; outputs * channels * 9];
    weights
        .par_chunks_mut(group * channels * 9)
        .zip(sums.par_chunks(POINTS * POINTS * (channels * group + PADDING)))
        .for_each(|(weights, sums)| {
            AutoArch::new().dispatch(Interpolation::<M, TILE, POINTS> {
                method: PhantomData,
                channels,
                sums,
                weights,
            })
        });
    weights
}

/// Bytes of tiles at the points that are computed before they are multiplied: they stay in the cache that the cores share. More where
/// there are so many sums that reading and writing these would take longer.
const ROUND: usize = 16 * 1024 * 1024;

/// Tiles that are multiplied with what stays in a core's first cache.
const TOGETHER: usize = 128;

/// A row of tiles of an image and its output's gradient.
struct Strip<'a> {
    image: &'a [f32],
    gradient: &'a [f32],
    row: usize,
}

/// Tiles at the points, `[point][block of channels][tile][channel]`.
#[derive(Default)]
struct Block {
    tiles: usize,
    inputs: Vec<f32>,
    gradients: Vec<f32>,
}

impl Block {
    /// What there is of one point.
    fn plane<'a>(&self, memory: &'a [f32], channels: usize, point: usize) -> &'a [Pixel] {
        let values = self.tiles * channels;
        memory[point * (values + PADDING)..][..values].as_chunks().0
    }
}

struct Evaluation<'a, 'b, M, const TILE: usize, const POINTS: usize> {
    method: PhantomData<M>,
    geometry: &'a Geometry,
    across: usize,
    strips: &'a [Strip<'b>],
    block: &'a mut Block,
}

impl<M: Method<TILE, POINTS>, const TILE: usize, const POINTS: usize> WithSimd
    for Evaluation<'_, '_, M, TILE, POINTS>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Self { geometry, across, strips, block, .. } = self;
        let &Geometry { channels, outputs, input, before, .. } = geometry;
        let size = geometry.output_size();
        block.tiles = strips.len() * across;
        let (inputs, input_step) = planes::<POINTS>(&mut block.inputs, block.tiles * channels);
        let (gradients, gradient_step) = planes::<POINTS>(&mut block.gradients, block.tiles * outputs);
        for (number, strip) in strips.iter().enumerate() {
            let image = Image { values: strip.image, size: input, channels };
            let gradient = Image { values: strip.gradient, size, channels: outputs };
            for column in 0..across {
                let (tile, first) = (number * across + column, [strip.row, column * TILE]);
                let block = block.tiles * CHANNELS;
                let to = &mut inputs[tile * CHANNELS..];
                image.evaluate::<S, Inputs<M, TILE>, POINTS, POINTS>(first, before, to, [input_step, block]);
                let to = &mut gradients[tile * CHANNELS..];
                gradient.evaluate::<S, Gradients<M>, TILE, POINTS>(first, [0, 0], to, [gradient_step, block]);
            }
        }
    }
}

/// The sums of one point for a group of vectors, `[channel][vector][lane]`.
struct Products<'a> {
    geometry: &'a Geometry,
    blocks: &'a [Block],
    point: usize,
    first: usize,
    width: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let &Geometry { channels, outputs, .. } = self.geometry;
        for block in self.blocks {
            let inputs = block.plane(&block.inputs, channels, self.point);
            let gradients = block.plane(&block.gradients, outputs, self.point);
            let gradients = &gradients[self.first / CHANNELS * block.tiles..];
            let sums = self.sums.chunks_exact_mut(CHANNELS * self.width);
            for (inputs, sums) in inputs.chunks_exact(block.tiles).zip(sums) {
                accumulate::<S>(inputs, gradients, self.first % CHANNELS, sums, self.width);
            }
        }
    }
}

/// The weights of a group of vectors of outputs.
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
                        let mut lanes = [0.0; CHANNELS];
                        store::<S>(value, &mut lanes);
                        for (lane, value) in lanes.into_iter().enumerate().take(S::lanes32()) {
                            weights[((output + lane) * channels + channel) * 9 + 3 * y + x] = value;
                        }
                    }
                }
            }
        }
    }
}
