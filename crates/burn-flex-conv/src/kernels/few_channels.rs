//! Convolutions of images with few channels, which would leave most of a [block](super::planes) empty.

use std::cell::RefCell;
use std::ops::Range;

use macerator::{AutoArch, Simd, WithSimd};
use rayon::prelude::*;

use super::addend::Addend;
use super::geometry::Geometry;
use super::simd::{CHANNELS, Values, lanes, load, splat, store};
use crate::format::Format;

/// Maximum number of input channels for this module.
pub(super) const FEW: usize = 4;

/// Number of vectors of outputs, and of neighbouring pixels, that are summed at once.
const VECTORS: usize = 2;
const PIXELS: usize = 8;

/// A convolution of images with few channels.
pub(crate) struct FewChannels {
    geometry: Geometry,
    /// For each weight, the offset of its value in the padded image from the value of the first weight.
    offsets: Vec<usize>,
    /// `[group of vectors][weight of an output][vector][lane]`
    weights: Vec<f32>,
}

thread_local! {
    /// A padded image, `[channel][row][column]`.
    static PLANES: RefCell<Vec<f32>> = RefCell::default();
}

/// Whether this module computes a convolution of these sizes.
pub(crate) fn takes(geometry: &Geometry) -> bool {
    geometry.channels <= FEW && geometry.outputs.is_multiple_of(CHANNELS)
}

impl FewChannels {
    /// Prepares the convolution with these weights, `[outputs, channels, kernel height, kernel width]`.
    pub(crate) fn forward(geometry: &Geometry, weight: &[f32]) -> Self {
        let &Geometry { channels, outputs, kernel: [height, width], .. } = geometry;
        let [rows, columns] = geometry.with_padding();
        let taps = (0..channels).flat_map(|channel| {
            (0..height).flat_map(move |y| (0..width).map(move |x| (channel * rows + y) * columns + x))
        });
        let offsets: Vec<usize> = taps.collect();
        let group = VECTORS * lanes();
        let mut weights = Vec::with_capacity(weight.len());
        for first in (0..outputs).step_by(group) {
            for tap in 0..offsets.len() {
                let own = first..outputs.min(first + group);
                weights.extend(own.map(|output| weight[output * offsets.len() + tap]));
            }
        }
        Self { geometry: *geometry, offsets, weights }
    }

    /// Size of the weights, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.weights)
    }

    /// Writes the outputs for some images, with the channels last. The values do not depend on the number of threads or of
    /// images.
    pub(crate) fn run(&self, images: &[f32], format: Format, addend: Addend, outputs: &mut [f32]) {
        let &Geometry { channels, outputs: count, input, .. } = &self.geometry;
        let [rows, columns] = self.geometry.output_size();
        let image = channels * input[0] * input[1];
        let threads = rayon::current_num_threads();
        // A job is a whole image, or a part of one if there are fewer images than threads.
        let per_job = if images.len() / image >= threads { rows } else { rows.div_ceil(2 * threads) };
        let jobs: Vec<_> = outputs
            .chunks_exact_mut(rows * columns * count)
            .zip(images.chunks_exact(image))
            .flat_map(|(output, image)| {
                let parts = output.chunks_mut(per_job * columns * count).enumerate();
                parts.map(move |(number, output)| (image, number * per_job, output))
            })
            .collect();
        jobs.into_par_iter().for_each(|(image, first, output)| {
            PLANES.with_borrow_mut(|planes| {
                self.fill(image, format, planes);
                let rows = first..first + output.len() / (columns * count);
                AutoArch::new().dispatch(Call { convolution: self, planes, rows, addend, output });
            });
        });
    }

    /// Copies an image into the padded planes.
    fn fill(&self, image: &[f32], format: Format, planes: &mut Vec<f32>) {
        let &Geometry { channels, input: [height, width], stride, before: [top, left], .. } = &self.geometry;
        let [rows, columns] = self.geometry.with_padding();
        planes.clear();
        // Outputs beyond the last column are computed but not written. Their pixels need memory too.
        planes.resize(channels * rows * columns + PIXELS * stride[1], 0.0);
        for channel in 0..channels {
            for y in 0..height {
                let to = &mut planes[(channel * rows + top + y) * columns + left..][..width];
                match format {
                    Format::ChannelsFirst => {
                        to.copy_from_slice(&image[(channel * height + y) * width..][..width]);
                    }
                    Format::ChannelsLast => {
                        let from = image[y * width * channels + channel..].iter().step_by(channels);
                        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                    }
                }
            }
        }
    }
}

struct Call<'a> {
    convolution: &'a FewChannels,
    planes: &'a [f32],
    rows: Range<usize>,
    addend: Addend<'a>,
    output: &'a mut [f32],
}

impl WithSimd for Call<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self) {
        let &FewChannels { geometry: Geometry { outputs, .. }, ref offsets, ref weights } = self.convolution;
        let lanes = S::lanes32();
        for (number, weights) in weights.chunks(offsets.len() * VECTORS * lanes).enumerate() {
            let first = number * VECTORS * lanes;
            match outputs - first {
                left if left < VECTORS * lanes => self.group::<S, 1>(first, weights),
                _ => self.group::<S, VECTORS>(first, weights),
            }
        }
    }
}

impl Call<'_> {
    /// Computes a group of outputs, from `first` on.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "through iterators the sums would go to memory and back")]
    fn group<S: Simd, const COUNT: usize>(&mut self, first: usize, weights: &[f32]) {
        let lanes = S::lanes32();
        let &FewChannels { geometry: Geometry { outputs, stride, .. }, ref offsets, .. } = self.convolution;
        let [_, across] = self.convolution.geometry.output_size();
        let [_, columns] = self.convolution.geometry.with_padding();
        let mut start = [splat::<S>(0.0); COUNT];
        if let Some(bias) = self.addend.bias() {
            for vector in 0..COUNT {
                start[vector] = load::<S>(&bias[first + vector * lanes..]);
            }
        }
        let adds = self.addend.is_outputs();
        for (row, output) in self.rows.clone().zip(self.output.chunks_exact_mut(across * outputs)) {
            for x in (0..across).step_by(PIXELS) {
                let pixels = &self.planes[row * stride[0] * columns + x * stride[1]..];
                let sums = sums::<S, COUNT>(start, pixels, stride[1], offsets, weights);
                for pixel in 0..PIXELS.min(across - x) {
                    let to = &mut output[(x + pixel) * outputs + first..];
                    for vector in 0..COUNT {
                        let to = &mut to[vector * lanes..];
                        let sum = sums[pixel][vector];
                        store::<S>(if adds { sum + load::<S>(to) } else { sum }, to);
                    }
                }
            }
        }
    }
}

/// Sums the products for neighbouring pixels, from the first weight to the last.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "through iterators the sums would go to memory and back")]
fn sums<S: Simd, const COUNT: usize>(
    start: [Values<S>; COUNT],
    pixels: &[f32],
    stride: usize,
    offsets: &[usize],
    weights: &[f32],
) -> [[Values<S>; COUNT]; PIXELS] {
    let lanes = S::lanes32();
    let mut sums = [start; PIXELS];
    for (offset, weights) in offsets.iter().zip(weights.chunks_exact(COUNT * lanes)) {
        let pixels = &pixels[*offset..][..(PIXELS - 1) * stride + 1];
        let mut factors = [splat::<S>(0.0); COUNT];
        for vector in 0..COUNT {
            factors[vector] = load::<S>(&weights[vector * lanes..]);
        }
        for pixel in 0..PIXELS {
            let value = splat::<S>(pixels[pixel * stride]);
            for vector in 0..COUNT {
                sums[pixel][vector] = factors[vector].mul_add(value, sums[pixel][vector]);
            }
        }
    }
    sums
}
