//! A convolution with stride 1, or the gradient of its input.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use macerator::{AutoArch, Simd, WithSimd};
use rayon::prelude::*;

use super::planes;
use super::tiles::{Image, Inputs};
use super::transform::Method;
use crate::kernels::addend::Addend;
use crate::kernels::correlation::Weights;
use crate::kernels::geometry::Geometry;
use crate::kernels::product::{OutputRows, group, product};
use crate::kernels::simd::{CHANNELS, lanes, load, splat, store};
use crate::kernels::sums::PADDING;

/// Approximate number of tiles per pass over the weights. The actual number is a whole number of rows of tiles.
const TOGETHER: usize = 48;

/// A convolution with stride 1, or the gradient of its input.
pub(crate) struct Winograd<M, const TILE: usize, const POINTS: usize> {
    method: PhantomData<M>,
    channels: usize,
    outputs: usize,
    /// Height and width of the input and of the output.
    input: [usize; 2],
    size: [usize; 2],
    /// Number of rows and columns of zeros before the input.
    before: [usize; 2],
    /// The weights at the points, `[group of vectors][point][channel][vector][lane]` with [`PADDING`] after each point.
    weights: Vec<f32>,
}

impl<M: Method<TILE, POINTS>, const TILE: usize, const POINTS: usize> Winograd<M, TILE, POINTS> {
    /// Prepares the convolution with these weights, `[outputs, channels, 3, 3]`.
    pub(crate) fn forward(geometry: &Geometry, weight: &[f32]) -> Self {
        let &Geometry { channels, outputs, input, before, .. } = geometry;
        let weights = Weights { values: weight, output: channels * 9, channel: 9, column: 1 };
        let weights = at_points::<M, TILE, POINTS>([channels, outputs], weights, 0);
        Self { method: PhantomData, channels, outputs, input, size: geometry.output_size(), before, weights }
    }

    /// Prepares the gradient of the input: the convolution of the output's gradient with the weights in reverse order.
    pub(crate) fn input_gradient(geometry: &Geometry, weight: &[f32]) -> Self {
        let &Geometry { channels, outputs, input, before, .. } = geometry;
        let weights = Weights { values: weight, output: 9, channel: channels * 9, column: -1 };
        Self {
            method: PhantomData,
            channels: outputs,
            outputs: channels,
            input: geometry.output_size(),
            size: input,
            before: before.map(|before| 2 - before),
            weights: at_points::<M, TILE, POINTS>([outputs, channels], weights, 8),
        }
    }

    fn image_of<'a>(&self, values: &'a [f32]) -> Image<'a> {
        Image { values, size: self.input, channels: self.channels }
    }

    /// Number of channels and of pixels of an image.
    pub(crate) fn image(&self) -> [usize; 2] {
        [self.channels, self.input[0] * self.input[1]]
    }

    /// Size of the weights, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.weights)
    }

    /// Writes the outputs for some images, both with the channels last. The values do not depend on the number of threads or of
    /// images.
    pub(crate) fn run(&self, images: &[f32], addend: Addend, outputs: &mut [f32]) {
        let image = self.channels * self.input[0] * self.input[1];
        let line = self.size[1] * self.outputs;
        let mut strips: Vec<Strip> = outputs
            .chunks_exact_mut(self.size[0] * line)
            .zip(images.chunks_exact(image))
            .flat_map(|(output, image)| {
                let lines = output.chunks_mut(TILE * line).enumerate();
                lines.map(move |(number, output)| Strip { image, row: number * TILE, output })
            })
            .collect();
        let across = self.size[1].div_ceil(TILE);
        let per_job =
            strips.len().div_ceil(2 * rayon::current_num_threads()).clamp(1, TOGETHER.div_ceil(across));
        strips.par_chunks_mut(per_job).for_each(|strips| {
            MEMORY.with_borrow_mut(|memory| {
                AutoArch::new().dispatch(Call { winograd: self, strips, addend, memory });
            });
        });
    }
}

/// Computes the weights at the points. The weights of the first output and channel start at `first`.
fn at_points<M: Method<TILE, POINTS>, const TILE: usize, const POINTS: usize>(
    [channels, outputs]: [usize; 2],
    weights: Weights,
    first: usize,
) -> Vec<f32> {
    let group = group(lanes());
    let mut packed = vec![0.0; POINTS * POINTS * (channels * outputs + PADDING * outputs.div_ceil(group))];
    packed.par_chunks_mut(POINTS * POINTS * (channels * group + PADDING)).enumerate().for_each(
        |(number, packed)| {
            let first = first + number * group * weights.output;
            AutoArch::new().dispatch(Packing::<M, TILE, POINTS> {
                method: PhantomData,
                channels,
                weights,
                first,
                packed,
            });
        },
    );
    packed
}

/// Computes the weights of a group of vectors, `[point][channel][vector][lane]`.
struct Packing<'a, M, const TILE: usize, const POINTS: usize> {
    method: PhantomData<M>,
    channels: usize,
    weights: Weights<'a>,
    first: usize,
    packed: &'a mut [f32],
}

impl<M: Method<TILE, POINTS>, const TILE: usize, const POINTS: usize> WithSimd
    for Packing<'_, M, TILE, POINTS>
{
    type Output = ();

    /// Computes G g Gᵀ for every output and channel.
    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Self { channels, weights, first, packed, .. } = self;
        let plane = packed.len() / (POINTS * POINTS);
        let width = (plane - PADDING) / channels;
        for channel in 0..channels {
            for output in (0..width).step_by(S::lanes32()) {
                let start = first + channel * weights.channel + output * weights.output;
                let mut rows = [[splat::<S>(0.0); POINTS]; 3];
                for (y, row_at_points) in rows.iter_mut().enumerate() {
                    let mut row = [splat::<S>(0.0); 3];
                    for (x, at) in row.iter_mut().enumerate() {
                        let start = start.wrapping_add_signed((3 * y + x) as isize * weights.column);
                        let mut values = [0.0; CHANNELS];
                        for (lane, value) in values.iter_mut().enumerate().take(S::lanes32()) {
                            *value = weights.values[start + lane * weights.output];
                        }
                        *at = load::<S>(&values);
                    }
                    *row_at_points = M::weights_at_points::<S>(row);
                }
                for x in 0..POINTS {
                    let values = M::weights_at_points::<S>([rows[0][x], rows[1][x], rows[2][x]]);
                    for (y, value) in values.into_iter().enumerate() {
                        store::<S>(value, &mut packed[(y * POINTS + x) * plane + channel * width + output..]);
                    }
                }
            }
        }
    }
}

/// Computes the outputs of one row of tiles of an image.
struct Strip<'a> {
    image: &'a [f32],
    /// The first row of outputs.
    row: usize,
    output: &'a mut [f32],
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// Memory that a thread reuses.
#[derive(Default)]
struct Memory {
    /// Inputs at the points, `[point][tile][channel]`, and outputs, `[point][group of vectors][tile][output of the group]`.
    inputs: Vec<f32>,
    outputs: Vec<f32>,
}

struct Call<'a, 'b, M, const TILE: usize, const POINTS: usize> {
    winograd: &'a Winograd<M, TILE, POINTS>,
    strips: &'a mut [Strip<'b>],
    addend: Addend<'a>,
    memory: &'a mut Memory,
}

impl<M: Method<TILE, POINTS>, const TILE: usize, const POINTS: usize> WithSimd
    for Call<'_, '_, M, TILE, POINTS>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Self { winograd, strips, addend, memory } = self;
        let &Winograd { channels, outputs, size, ref weights, .. } = winograd;
        let across = size[1].div_ceil(TILE);
        let tiles = strips.len() * across;
        let (inputs, input_step) = planes::<POINTS>(&mut memory.inputs, tiles * channels);
        for (number, strip) in strips.iter().enumerate() {
            for tile in 0..across {
                let to = &mut inputs[(number * across + tile) * channels..];
                winograd.image_of(strip.image).evaluate::<S, Inputs<M, TILE>, POINTS, POINTS>(
                    [strip.row, tile * TILE],
                    winograd.before,
                    to,
                    [input_step, CHANNELS],
                );
            }
        }
        let group = group(S::lanes32());
        let (products, product_step) = planes::<POINTS>(&mut memory.outputs, tiles * outputs);
        let groups = weights.chunks(POINTS * POINTS * (channels * group + PADDING));
        // One point is processed after the other, so that its inputs stay in the cache while its weights are read.
        for point in 0..POINTS * POINTS {
            let rows = &inputs[point * input_step..][..tiles * channels];
            let products = products[point * product_step..][..tiles * outputs].chunks_mut(tiles * group);
            for (weights, products) in groups.clone().zip(products) {
                let width = products.len() / tiles;
                let weights = &weights[point * (channels * width + PADDING)..][..channels * width];
                product::<S>(
                    rows,
                    channels,
                    weights,
                    Addend::Nothing,
                    &mut OutputRows { values: products, step: width },
                );
            }
        }
        for first in (0..outputs).step_by(group) {
            let width = group.min(outputs - first);
            for (number, strip) in strips.iter_mut().enumerate() {
                for tile in 0..across {
                    let from = &products[first * tiles + (number * across + tile) * width..];
                    let columns = tile * TILE..size[1].min((tile + 1) * TILE);
                    let channels = first..first + width;
                    winograd.interpolate::<S>(from, product_step, addend, channels, columns, strip.output);
                }
            }
        }
    }
}

impl<M: Method<TILE, POINTS>, const TILE: usize, const POINTS: usize> Winograd<M, TILE, POINTS> {
    /// Computes a tile of outputs from its values at the points, Aᵀ m A, for some channels and columns.
    #[inline(always)]
    fn interpolate<S: Simd>(
        &self,
        from: &[f32],
        step: usize,
        addend: Addend,
        channels: Range<usize>,
        columns: Range<usize>,
        strip: &mut [f32],
    ) {
        let line = self.size[1] * self.outputs;
        for (at, channel) in channels.step_by(S::lanes32()).enumerate() {
            let at = at * S::lanes32();
            let mut rows = [[splat::<S>(0.0); TILE]; POINTS];
            for y in 0..POINTS {
                let mut row = [splat::<S>(0.0); POINTS];
                for x in 0..POINTS {
                    row[x] = load::<S>(&from[(y * POINTS + x) * step + at..]);
                }
                rows[y] = M::outputs_of_points::<S>(row);
            }
            let bias = addend.bias().map(|bias| load::<S>(&bias[channel..]));
            for (x, column) in columns.clone().enumerate() {
                let mut values = [splat::<S>(0.0); POINTS];
                for y in 0..POINTS {
                    values[y] = rows[y][x];
                }
                let values = M::outputs_of_points::<S>(values);
                for (value, line) in values.into_iter().zip(strip.chunks_exact_mut(line)) {
                    let to = &mut line[column * self.outputs + channel..];
                    let value = match (bias, addend) {
                        (Some(bias), _) => value + bias,
                        (None, Addend::Outputs) => value + load::<S>(to),
                        (None, _) => value,
                    };
                    store::<S>(value, to);
                }
            }
        }
    }
}
