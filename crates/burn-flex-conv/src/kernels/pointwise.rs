//! Kernels of one by one weights: the product of all pixels and the weights.

use macerator::{AutoArch, Simd, WithSimd};
use rayon::prelude::*;

use super::addend::Addend;
use super::geometry::Geometry;
use super::product::{OutputRows, group, product};
use super::simd::{CHANNELS, lanes};
use super::sums::{PADDING, ROWS, Rows, Sums};

/// A convolution of stride 1, or its input's gradient.
pub(crate) struct Pointwise {
    channels: usize,
    outputs: usize,
    /// Pixels of an image.
    pixels: usize,
    /// `[group of vectors][channel][vector][lane]`
    weights: Vec<f32>,
}

/// Whether a convolution of these sizes is computed by this module.
pub(crate) fn takes(geometry: &Geometry) -> bool {
    let &Geometry { channels, outputs, kernel, stride, before, after, .. } = geometry;
    [kernel, stride] == [[1, 1]; 2]
        && [before, after] == [[0, 0]; 2]
        && [channels, outputs].iter().all(|count| count % CHANNELS == 0)
}

/// Whether its weights' gradient is: with fewer channels the copies take longer than what they save.
pub(crate) fn takes_weight_gradient(geometry: &Geometry) -> bool {
    takes(geometry) && geometry.channels.min(geometry.outputs) >= 128
}

/// Pixels for which the weights are read once: a multiple of the rows that are multiplied at once.
const TOGETHER: usize = 48;

impl Pointwise {
    /// The convolution with these weights, `[outputs, channels]`.
    pub(crate) fn forward(&Geometry { channels, outputs, input, .. }: &Geometry, weight: &[f32]) -> Self {
        let weights = packed([channels, outputs], weight, [channels, 1]);
        Self { channels, outputs, pixels: input[0] * input[1], weights }
    }

    /// The input's gradient.
    pub(crate) fn input_gradient(
        &Geometry { channels, outputs, input, .. }: &Geometry,
        weight: &[f32],
    ) -> Self {
        let weights = packed([outputs, channels], weight, [1, channels]);
        Self { channels: outputs, outputs: channels, pixels: input[0] * input[1], weights }
    }

    /// Channels and pixels of an image.
    pub(crate) fn image(&self) -> [usize; 2] {
        [self.channels, self.pixels]
    }

    /// Bytes of the weights.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.weights)
    }

    /// Writes the outputs for some pixels, both with the channels last.
    pub(crate) fn run(&self, pixels: &[f32], addend: Addend, outputs: &mut [f32]) {
        let count = pixels.len() / self.channels;
        let share = count.div_ceil(2 * rayon::current_num_threads()).clamp(1, TOGETHER);
        outputs.par_chunks_mut(share * self.outputs).zip(pixels.par_chunks(share * self.channels)).for_each(
            |(outputs, pixels)| {
                AutoArch::new().dispatch(Call { pointwise: self, pixels, addend, outputs });
            },
        );
    }
}

/// The weights of all channels and outputs; `steps` are the values from one output, and from one channel, to the next.
fn packed([channels, outputs]: [usize; 2], weight: &[f32], steps: [usize; 2]) -> Vec<f32> {
    let group = group(lanes());
    let mut packed = vec![0.0; channels * outputs];
    packed.par_chunks_mut(channels * group).enumerate().for_each(|(number, packed)| {
        let width = packed.len() / channels;
        for (channel, packed) in packed.chunks_exact_mut(width).enumerate() {
            let start = number * group * steps[0] + channel * steps[1];
            packed
                .iter_mut()
                .zip(weight[start..].iter().step_by(steps[0]))
                .for_each(|(to, from)| *to = *from);
        }
    });
    packed
}

struct Call<'a> {
    pointwise: &'a Pointwise,
    pixels: &'a [f32],
    addend: Addend<'a>,
    outputs: &'a mut [f32],
}

impl WithSimd for Call<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let &Pointwise { channels, outputs: step, ref weights, .. } = self.pointwise;
        let group = group(S::lanes32());
        for (first, weights) in (0..step).step_by(group).zip(weights.chunks(channels * group)) {
            let mut rows = OutputRows { values: &mut self.outputs[first..], step };
            product::<S>(self.pixels, channels, weights, self.addend.from(first), &mut rows);
        }
    }
}

/// The gradient of the weights, `[outputs, channels]`, from pixels and gradients with the channels last.
///
/// Every sum goes from the first pixel to the last, so that it does not depend on the number of threads.
pub(crate) fn weight_gradient(geometry: &Geometry, pixels: &[f32], gradients: &[f32]) -> Vec<f32> {
    let &Geometry { channels, outputs, .. } = geometry;
    let mut sums = Sums::new([channels, outputs], 1);
    let at_once = sums.rows_at_once().next_multiple_of(ROWS);
    let mut rows: Vec<Rows> = Vec::new();
    for (pixels, gradients) in pixels.chunks(at_once * channels).zip(gradients.chunks(at_once * outputs)) {
        rows.resize_with((pixels.len() / channels).div_ceil(ROWS), Rows::default);
        rows.par_iter_mut()
            .zip(pixels.par_chunks(ROWS * channels).zip(gradients.par_chunks(ROWS * outputs)))
            .for_each(|(rows, (pixels, gradients))| {
                rows.count = pixels.len() / channels;
                in_blocks(pixels, channels, &mut rows.inputs);
                in_blocks(gradients, outputs, &mut rows.gradients);
            });
        sums.add(&rows);
    }
    sums.weights(channels, |sums, weights| {
        let sums = &sums[..sums.len() - PADDING];
        let width = sums.len() / channels;
        for (output, weights) in weights.chunks_exact_mut(channels).enumerate() {
            weights.iter_mut().zip(sums[output..].iter().step_by(width)).for_each(|(to, from)| *to = *from);
        }
    })
}

/// Pixels as `[block of channels][pixel][channel]`, in memory that is used again.
fn in_blocks(pixels: &[f32], channels: usize, blocks: &mut Vec<f32>) {
    if blocks.len() < pixels.len() {
        blocks.resize(pixels.len(), 0.0);
    }
    let count = pixels.len() / channels;
    for (block, to) in blocks.chunks_exact_mut(count * CHANNELS).enumerate().take(channels / CHANNELS) {
        for (to, pixel) in to.chunks_exact_mut(CHANNELS).zip(pixels.chunks_exact(channels)) {
            to.copy_from_slice(&pixel[block * CHANNELS..][..CHANNELS]);
        }
    }
}
