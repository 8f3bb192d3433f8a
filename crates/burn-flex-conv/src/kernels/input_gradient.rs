//! The gradient of the input, as one [correlation](Correlation) of the output's gradient for each remainder of a position divided
//! by the stride.

use super::batch::{Outputs, Phase};
use super::correlation::{Correlation, Tap, Weights, tap_columns};
use super::geometry::Geometry;
use super::planes::Planes;
use super::simd::CHANNELS;

/// Prepares the gradient of the input of a convolution with these weights, `[outputs, channels, kernel height, kernel width]`.
///
/// Input positions with the same remainder are reached by the same weights. The n-th of these weights (from 0) belongs to the
/// output n places before.
pub(crate) fn input_gradient(geometry: &Geometry, weight: &[f32]) -> Outputs {
    let &Geometry { channels, outputs, input, kernel, stride, .. } = geometry;
    let size = geometry.output_size();
    let before = [0, 1].map(|axis| kernel[axis].div_ceil(stride[axis]) - 1);
    let remainders = [0, 1].map(|axis| (0..stride[axis]).map(move |at| Remainder::new(geometry, axis, at)));
    let [rows, columns] = [0, 1].map(|axis: usize| {
        let read = remainders[axis].clone().map(|remainder| remainder.place + remainder.count).max();
        before[axis] + read.unwrap_or(0).max(size[axis])
    });
    let planes = Planes { channels: outputs, height: size[0], width: size[1], before, rows, columns };
    let [down, across] = remainders;
    let pairs = down.flat_map(|down| across.clone().map(move |across| [down, across]));
    let phases = pairs.filter(|pair| pair.iter().all(|of| of.taps > 0 && of.count > 0)).map(|pair| {
        let [down, across] = pair;
        let tap_columns = tap_columns(across.taps, 1);
        let mut taps = Vec::new();
        for block in 0..planes.blocks() {
            for y in 0..down.taps {
                for x in (0..across.taps).step_by(tap_columns) {
                    // The weights are read from the last to the first.
                    let line = down.place + before[0] + 1 + y - down.taps;
                    let column = across.place + before[1] + 1 + x - across.taps;
                    let [y, x] = [
                        down.weight(down.taps - 1 - y, stride[0]),
                        across.weight(across.taps - 1 - x, stride[1]),
                    ];
                    taps.push(Tap {
                        offset: (block * planes.rows + line) * planes.columns + column,
                        channels: CHANNELS.min(outputs - block * CHANNELS),
                        weight: (block * CHANNELS * channels * kernel[0] + y) * kernel[1] + x,
                    });
                }
            }
        }
        let plane = kernel[0] * kernel[1];
        let weights = Weights {
            values: weight,
            output: plane,
            channel: channels * plane,
            column: -(stride[1] as isize),
        };
        let size = [down.count, across.count];
        let correlation = Correlation::new(channels, size, [planes.columns, 1], taps, tap_columns, weights);
        Phase { correlation, first: pair.map(|of| of.first), step: stride }
    });
    let phases = phases.collect();
    Outputs { planes, phases, size: [input[0], input[1], channels] }
}

/// The input positions with the same remainder modulo the stride, along one axis.
#[derive(Clone, Copy, Debug)]
struct Remainder {
    at: usize,
    /// The first position, and the output to which its first weight belongs.
    first: usize,
    place: usize,
    /// Number of positions.
    count: usize,
    /// Number of weights that reach each position.
    taps: usize,
}

impl Remainder {
    fn new(geometry: &Geometry, axis: usize, at: usize) -> Self {
        let (stride, before) = (geometry.stride[axis], geometry.before[axis]);
        // The first position in the padded input that has the remainder and is not before the input.
        let padded = before + (at + stride - before % stride) % stride;
        let first = padded - before;
        Self {
            at,
            first,
            place: padded / stride,
            count: geometry.input[axis].saturating_sub(first).div_ceil(stride),
            taps: geometry.kernel[axis].saturating_sub(at).div_ceil(stride),
        }
    }

    /// Returns the position in the kernel of one of the weights.
    fn weight(&self, number: usize, stride: usize) -> usize {
        self.at + number * stride
    }
}
