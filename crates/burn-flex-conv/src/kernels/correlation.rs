//! Weighted sums of shifted planes for many output channels at once. Both a convolution and the gradient of its input have this form.

use std::array;
use std::ops::Range;

use macerator::{AutoArch, Simd, WithSimd};
use rayon::prelude::*;

use super::addend::Addend;
use super::planes::Pixel;
use super::simd::{CHANNELS, Values, lanes, load, splat, store};

/// `out[y][x][o] = Σ_t Σ_c Σ_k weight[o][t][c][k] · in[offset[t] + y · pitch + x · stride + k][c]`
///
/// Neighbouring output channels are the lanes of a vector. A tap is a block of channels in one row of the kernel. The columns `k` of a
/// tap share the values that they read.
pub(crate) struct Correlation {
    pub(crate) outputs: usize,
    /// Rows and columns of the outputs.
    pub(crate) size: [usize; 2],
    /// Distance in pixels between the inputs of the first outputs of consecutive rows.
    pitch: usize,
    /// Distance in pixels between the inputs of neighbouring outputs of a row.
    stride: usize,
    taps: Vec<Tap>,
    /// Number of columns of a tap.
    columns: usize,
    /// `[group of vectors][tap][channel][column][vector][lane]`
    weights: Vec<f32>,
}

/// A block of channels in one row of the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    /// Position of the first pixel that the tap reads for the first output.
    pub(crate) offset: usize,
    pub(crate) channels: usize,
    /// Position of the tap's first weight for the first output channel.
    pub(crate) weight: usize,
}

/// Weights in memory, with the distances from one output, channel and column to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) output: usize,
    pub(crate) channel: usize,
    pub(crate) column: isize,
}

/// The planes of several images, one image after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Images<'a> {
    pub(crate) count: usize,
    pub(crate) planes: &'a [Pixel],
    /// Distance from one image to the next, in pixels.
    pub(crate) step: usize,
}

/// The positions at which outputs are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    /// Position of the first value of the first row that is written.
    pub(crate) start: usize,
    /// Distances from one image, one row and one pixel to the next, in values.
    pub(crate) steps: [usize; 3],
}

/// Number of vectors of output channels, and of neighbouring pixels, that are summed at once. With a single vector, twice as many pixels
/// are summed, so that no sum waits for its own previous addition.
const GROUP: usize = 2;
const PIXELS: usize = 8;

impl Correlation {
    pub(crate) fn new(
        outputs: usize,
        size: [usize; 2],
        [pitch, stride]: [usize; 2],
        taps: Vec<Tap>,
        columns: usize,
        weights: Weights,
    ) -> Self {
        let lanes = lanes();
        let of_vector: usize = taps.iter().map(|tap| tap.channels * columns * lanes).sum();
        let mut packed = vec![0.0; outputs.div_ceil(lanes) * of_vector];
        packed.par_chunks_mut(GROUP * of_vector).enumerate().for_each(|(group, packed)| {
            let first = group * GROUP * lanes;
            let width = packed.len() / of_vector * lanes;
            let mut rows = packed.chunks_exact_mut(width);
            for tap in &taps {
                for channel in 0..tap.channels {
                    for column in 0..columns {
                        let start = tap.weight + channel * weights.channel + first * weights.output;
                        let start = start.wrapping_add_signed(column as isize * weights.column);
                        let from = weights.values[start..].iter().step_by(weights.output);
                        let row = rows.next().expect("one for each weight of an output");
                        row.iter_mut().take(outputs - first).zip(from).for_each(|(to, from)| *to = *from);
                    }
                }
            }
        });
        Self { outputs, size, pitch, stride, taps, columns, weights: packed }
    }

    /// Number of pixels that are read beyond the last one that is used. Their values do not matter.
    pub(crate) fn overrun(&self) -> usize {
        2 * PIXELS * self.stride
    }

    /// Size of the packed weights, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.weights.len() * size_of::<f32>()
    }

    /// Writes some rows of the outputs of every image, in one pass over the weights for all images.
    pub(crate) fn run(
        &self,
        images: Images,
        rows: Range<usize>,
        addend: Addend,
        output: &mut [f32],
        placement: Placement,
    ) {
        AutoArch::new().dispatch(Call { correlation: self, images, rows, addend, output, placement });
    }
}

struct Call<'a> {
    correlation: &'a Correlation,
    images: Images<'a>,
    rows: Range<usize>,
    addend: Addend<'a>,
    output: &'a mut [f32],
    placement: Placement,
}

impl WithSimd for Call<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        match (self.correlation.columns, self.correlation.stride) {
            (3, 1) => self.pixels::<S, 3, 1>(),
            (3, 2) => self.pixels::<S, 3, 2>(),
            (4, 2) => self.pixels::<S, 4, 2>(),
            (2, 1) => self.pixels::<S, 2, 1>(),
            (1, 1) => self.pixels::<S, 1, 1>(),
            (1, 2) => self.pixels::<S, 1, 2>(),
            (1, _) => self.pixels::<S, 1, ANY>(),
            (columns, stride) => unreachable!("taps of {columns} columns with stride {stride}"),
        }
    }
}

/// Stands for a stride that is not known at compile time.
const ANY: usize = 0;

/// Returns the number of columns that a tap should have, for a kernel with the given number of columns.
pub(crate) fn tap_columns(columns: usize, stride: usize) -> usize {
    match (columns, stride) {
        (3, 1 | 2) | (4, 2) | (2, 1) => columns,
        _ => 1,
    }
}

impl Call<'_> {
    #[inline(always)]
    fn pixels<S: Simd, const COLUMNS: usize, const STRIDE: usize>(self) {
        match self.correlation.size[1] {
            _ if S::lanes32() < CHANNELS => self.groups::<S, 4, 1, COLUMNS, STRIDE>(),
            0..=4 => self.groups::<S, 4, 1, COLUMNS, STRIDE>(),
            5..=PIXELS => self.groups::<S, PIXELS, 1, COLUMNS, STRIDE>(),
            _ => self.groups::<S, PIXELS, 2, COLUMNS, STRIDE>(),
        }
    }

    /// `PARTS` is the number of pieces of a row that are summed at once if there is only one vector of outputs.
    #[inline(always)]
    fn groups<S: Simd, const PIXELS: usize, const PARTS: usize, const COLUMNS: usize, const STRIDE: usize>(
        mut self,
    ) {
        let Correlation { outputs, taps, weights, .. } = self.correlation;
        let lanes = S::lanes32();
        let of_vector: usize = taps.iter().map(|tap| tap.channels * COLUMNS * lanes).sum();
        for (group, weights) in weights.chunks(GROUP * of_vector).enumerate() {
            let first = group * GROUP * lanes;
            match outputs - first <= lanes {
                true => self.group::<S, PIXELS, PARTS, 1, COLUMNS, STRIDE>(weights, first),
                false => self.group::<S, PIXELS, 1, GROUP, COLUMNS, STRIDE>(weights, first),
            }
        }
    }

    #[inline(always)]
    fn group<
        S: Simd,
        const PIXELS: usize,
        const PARTS: usize,
        const VECTORS: usize,
        const COLUMNS: usize,
        const STRIDE: usize,
    >(
        &mut self,
        weights: &[f32],
        first: usize,
    ) {
        let lanes = S::lanes32();
        let Correlation { outputs, size, pitch, taps, .. } = self.correlation;
        let stride = if STRIDE == ANY { self.correlation.stride } else { STRIDE };
        let count = (VECTORS * lanes).min(outputs - first);
        let mut bias = [splat::<S>(0.0); VECTORS];
        if let Some(values) = self.addend.bias() {
            let padded: [f32; GROUP * CHANNELS] =
                array::from_fn(|at| if at < count { values[first + at] } else { 0.0 });
            bias = array::from_fn(|vector| load::<S>(&padded[vector * lanes..]));
        }
        let adds = self.addend.is_outputs();
        let Placement { start, steps: [per_image, per_row, per_pixel] } = self.placement;
        let places = (0..self.images.count).flat_map(|image| self.rows.clone().map(move |y| (image, y)));
        for (image, y) in places {
            let planes = &self.images.planes[image * self.images.step + y * pitch..];
            let start = start + image * per_image + (y - self.rows.start) * per_row + first;
            for x in (0..size[1]).step_by(PARTS * PIXELS) {
                let mut sums = [[bias; PIXELS]; PARTS];
                let mut rest = weights;
                for tap in taps {
                    let (weights, after) = rest.split_at(tap.channels * COLUMNS * VECTORS * lanes);
                    rest = after;
                    let pixels = &planes[x * stride + tap.offset..];
                    sums =
                        tap_sums::<S, PIXELS, PARTS, VECTORS, COLUMNS, STRIDE>(sums, pixels, weights, stride);
                }
                let written = (PARTS * PIXELS).min(size[1] - x);
                for (pixel, sums) in sums.as_flattened()[..written].iter().enumerate() {
                    let to = &mut self.output[start + (x + pixel) * per_pixel..][..count];
                    if count == VECTORS * lanes {
                        for vector in 0..VECTORS {
                            let to = &mut to[vector * lanes..];
                            store::<S>(if adds { sums[vector] + load::<S>(to) } else { sums[vector] }, to);
                        }
                    } else {
                        let sums = bytemuck::cast_slice::<_, f32>(sums);
                        to.iter_mut()
                            .zip(sums)
                            .for_each(|(to, sum)| *to = if adds { sum + *to } else { *sum });
                    }
                }
            }
        }
    }
}

/// Adds one tap to the sums of neighbouring outputs. The sums stay in registers over all channels.
#[inline(always)]
#[allow(
    clippy::needless_range_loop,
    reason = "through iterators the sums would go to memory and back in every turn"
)]
fn tap_sums<
    S: Simd,
    const PIXELS: usize,
    const PARTS: usize,
    const VECTORS: usize,
    const COLUMNS: usize,
    const STRIDE: usize,
>(
    mut sums: [[[Values<S>; VECTORS]; PIXELS]; PARTS],
    pixels: &[Pixel],
    weights: &[f32],
    stride: usize,
) -> [[[Values<S>; VECTORS]; PIXELS]; PARTS] {
    let lanes = S::lanes32();
    let stride = if STRIDE == ANY { stride } else { STRIDE };
    let pixels = &pixels[..(PARTS * PIXELS - 1) * stride + COLUMNS];
    for (channel, weights) in weights.chunks_exact(COLUMNS * VECTORS * lanes).enumerate().take(CHANNELS) {
        let weights: [[Values<S>; VECTORS]; COLUMNS] = array::from_fn(|column| {
            array::from_fn(|vector| load::<S>(&weights[(column * VECTORS + vector) * lanes..]))
        });
        for part in 0..PARTS {
            let first = part * PIXELS * stride;
            if STRIDE == 1 {
                // Each value is read once and multiplied with the weights of all columns that use it.
                for at in 0..PIXELS - 1 + COLUMNS {
                    let value = splat::<S>(pixels[first + at][channel]);
                    for column in 0..COLUMNS.min(at + 1) {
                        if at - column < PIXELS {
                            for vector in 0..VECTORS {
                                sums[part][at - column][vector] =
                                    weights[column][vector].mul_add(value, sums[part][at - column][vector]);
                            }
                        }
                    }
                }
            } else {
                for pixel in 0..PIXELS {
                    for column in 0..COLUMNS {
                        let value = splat::<S>(pixels[first + pixel * stride + column][channel]);
                        for vector in 0..VECTORS {
                            sums[part][pixel][vector] =
                                weights[column][vector].mul_add(value, sums[part][pixel][vector]);
                        }
                    }
                }
            }
        }
    }
    sums
}
