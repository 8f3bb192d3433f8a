//! Kernels of one by one weights, as products of all pixels and the weights.

use rayon::prelude::*;

use super::geometry::Geometry;
use super::matrix::Matrix;
use super::simd::CHANNELS;
use super::sums::{PADDING, ROWS, Rows, Sums};

/// Whether this module computes a convolution of these sizes.
pub(crate) fn takes(geometry: &Geometry) -> bool {
    let &Geometry { channels, outputs, kernel, stride, before, after, .. } = geometry;
    [kernel, stride] == [[1, 1]; 2]
        && [before, after] == [[0, 0]; 2]
        && [channels, outputs].iter().all(|count| count % CHANNELS == 0)
}

/// Whether this module computes its weights' gradient. With fewer channels, copying would take longer than it
/// saves.
pub(crate) fn takes_weight_gradient(geometry: &Geometry) -> bool {
    takes(geometry) && geometry.channels.min(geometry.outputs) >= 128
}

/// Prepares the convolution with these weights, `[outputs, channels]`.
pub(crate) fn forward(&Geometry { channels, outputs, input, .. }: &Geometry, weight: &[f32]) -> Matrix {
    let image = [channels, input[0] * input[1]];
    Matrix::new(image, [channels, outputs], |channel, output| weight[output * channels + channel])
}

/// Prepares the gradient of its input.
pub(crate) fn input_gradient(
    &Geometry { channels, outputs, input, .. }: &Geometry,
    weight: &[f32],
) -> Matrix {
    let image = [outputs, input[0] * input[1]];
    Matrix::new(image, [outputs, channels], |output, channel| weight[output * channels + channel])
}

/// Computes the gradient of the weights, `[outputs, channels]`, from pixels and gradients with the channels
/// last.
///
/// Every sum runs from the first pixel to the last, so it does not depend on the number of threads.
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

/// Copies pixels to `[block of channels][pixel][channel]`, in reused memory.
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
