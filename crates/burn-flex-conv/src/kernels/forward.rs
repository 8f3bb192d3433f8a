//! The outputs of a convolution.

use super::batch::{Outputs, Phase};
use super::correlation::{Correlation, Tap, Weights, tap_columns};
use super::geometry::Geometry;
use super::planes::Planes;
use super::simd::CHANNELS;

/// Prepares the convolution with these weights, `[outputs, channels, kernel height, kernel width]`.
pub(crate) fn forward(geometry: &Geometry, weight: &[f32]) -> Outputs {
    let &Geometry { channels, outputs, kernel, stride, .. } = geometry;
    let planes = input_planes(geometry);
    let size = geometry.output_size();
    let columns = tap_columns(kernel[1], stride[1]);
    let mut taps = Vec::new();
    for block in 0..planes.blocks() {
        for y in 0..kernel[0] {
            for x in (0..kernel[1]).step_by(columns) {
                taps.push(Tap {
                    offset: (block * planes.rows + y) * planes.columns + x,
                    channels: CHANNELS.min(channels - block * CHANNELS),
                    weight: (block * CHANNELS * kernel[0] + y) * kernel[1] + x,
                });
            }
        }
    }
    let plane = kernel[0] * kernel[1];
    let weights = Weights { values: weight, output: channels * plane, channel: plane, column: 1 };
    let steps = [planes.columns * stride[0], stride[1]];
    let correlation = Correlation::new(outputs, size, steps, taps, columns, weights);
    Outputs {
        planes,
        phases: vec![Phase { correlation, first: [0, 0], step: [1, 1] }],
        size: [size[0], size[1], outputs],
    }
}

/// The planes of the input with its padding.
pub(crate) fn input_planes(geometry: &Geometry) -> Planes {
    let [rows, columns] = geometry.with_padding();
    Planes {
        channels: geometry.channels,
        height: geometry.input[0],
        width: geometry.input[1],
        before: geometry.before,
        rows,
        columns,
    }
}
