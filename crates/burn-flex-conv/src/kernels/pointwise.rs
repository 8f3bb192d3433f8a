//! Kernels of one by one weights: the product of all pixels and the weights.

use macerator::{AutoArch, Simd, WithSimd};
use rayon::prelude::*;

use super::geometry::Geometry;
use super::product::{Rows, product, vectors};
use super::simd::{CHANNELS, lanes};

/// A convolution of stride 1, or its input's gradient.
pub(crate) struct Pointwise {
    channels: usize,
    outputs: usize,
    /// Pixels of an image.
    pixels: usize,
    /// `[group of vectors][channel][vector][lane]`
    weights: Vec<f32>,
}

/// Whether a convolution is computed so.
pub(crate) fn takes(geometry: &Geometry) -> bool {
    let &Geometry { channels, outputs, kernel, stride, before, after, .. } = geometry;
    [kernel, stride] == [[1, 1]; 2]
        && [before, after] == [[0, 0]; 2]
        && [channels, outputs].iter().all(|count| count % CHANNELS == 0)
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

    /// The outputs for some pixels, both with the channels last.
    pub(crate) fn run(&self, pixels: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let count = pixels.len() / self.channels;
        let mut outputs = vec![0.0; count * self.outputs];
        let share = count.div_ceil(2 * rayon::current_num_threads()).clamp(1, TOGETHER);
        outputs.par_chunks_mut(share * self.outputs).zip(pixels.par_chunks(share * self.channels)).for_each(
            |(outputs, pixels)| {
                AutoArch::new().dispatch(Call { pointwise: self, pixels, bias, outputs });
            },
        );
        outputs
    }
}

/// The weights of all channels and outputs; `steps` are the values from one output, and from one channel, to the next.
fn packed([channels, outputs]: [usize; 2], weight: &[f32], steps: [usize; 2]) -> Vec<f32> {
    let group = vectors(lanes()) * lanes();
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
    bias: Option<&'a [f32]>,
    outputs: &'a mut [f32],
}

impl WithSimd for Call<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let &Pointwise { channels, outputs: step, ref weights, .. } = self.pointwise;
        let group = vectors(S::lanes32()) * S::lanes32();
        for (first, weights) in (0..step).step_by(group).zip(weights.chunks(channels * group)) {
            let bias = self.bias.map(|bias| &bias[first..]);
            let mut rows = Rows { values: &mut self.outputs[first..], step };
            product::<S>(self.pixels, channels, weights, bias, &mut rows);
        }
    }
}
