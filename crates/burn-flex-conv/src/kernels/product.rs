//! Single-precision products of many rows and the same weights.

use std::array;

use macerator::Simd;

use super::addend::Addend;
use super::planes::Pixel;
use super::simd::{CHANNELS, Values, load, splat, store};

/// Number of outputs that are summed at once: as many vectors as leave registers for several rows.
pub(crate) fn group(lanes: usize) -> usize {
    if lanes < CHANNELS { 2 * lanes } else { 4 * lanes }
}

/// Rows of outputs. A product writes the first few vectors of each row. `step` is the distance from one row to the next, in values.
pub(crate) struct OutputRows<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) step: usize,
}

/// Computes `out[row][output] = addend + Σ_c rows[row][c] · weights[c][output]` for at most a [`group`] of outputs, in whole vectors.
///
/// `rows` is `[row][depth]`, and `weights` is `[depth][outputs]`. Every sum runs from the first `c` to the last, so the values of a row
/// do not depend on the other rows.
#[inline(always)]
pub(crate) fn product<S: Simd>(
    rows: &[f32],
    depth: usize,
    weights: &[f32],
    addend: Addend,
    out: &mut OutputRows,
) {
    match (weights.len() / (depth * S::lanes32()), S::lanes32() < CHANNELS) {
        (1, _) => blocks::<S, 12, 4, 1>(rows, depth, weights, addend, out),
        (2, true) => blocks::<S, 6, 2, 2>(rows, depth, weights, addend, out),
        (2, false) => blocks::<S, 12, 4, 2>(rows, depth, weights, addend, out),
        (3, _) => blocks::<S, 8, 4, 3>(rows, depth, weights, addend, out),
        (4, _) => blocks::<S, 6, 2, 4>(rows, depth, weights, addend, out),
        (vectors, _) => unreachable!("{vectors} vectors of outputs"),
    }
}

/// Processes `MANY` rows at a time, then `FEW` of the remaining rows at a time, and the last rows one by one.
#[inline(always)]
fn blocks<S: Simd, const MANY: usize, const FEW: usize, const VECTORS: usize>(
    rows: &[f32],
    depth: usize,
    weights: &[f32],
    addend: Addend,
    out: &mut OutputRows,
) {
    let mut first = [splat::<S>(0.0); VECTORS];
    if let Some(bias) = addend.bias() {
        for vector in 0..VECTORS {
            first[vector] = load::<S>(&bias[vector * S::lanes32()..]);
        }
    }
    let (mut row, count) = (0, rows.len() / depth);
    while row < count {
        let (rows, out) =
            (&rows[row * depth..], OutputRows { values: &mut out.values[row * out.step..], ..*out });
        row += match count - row {
            left if left >= MANY => {
                block::<S, MANY, VECTORS>(rows, depth, weights, (first, addend.is_outputs()), out)
            }
            left if left >= FEW => {
                block::<S, FEW, VECTORS>(rows, depth, weights, (first, addend.is_outputs()), out)
            }
            _ => block::<S, 1, VECTORS>(rows, depth, weights, (first, addend.is_outputs()), out),
        };
    }
}

/// Processes the first `ROWS` rows, and returns their number.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "through iterators the sums would go to memory and back")]
fn block<S: Simd, const ROWS: usize, const VECTORS: usize>(
    rows: &[f32],
    depth: usize,
    weights: &[f32],
    (first, adds): ([Values<S>; VECTORS], bool),
    out: OutputRows,
) -> usize {
    let lanes = S::lanes32();
    let rows: [&[f32]; ROWS] = array::from_fn(|row| &rows[row * depth..][..depth]);
    let mut sums = [first; ROWS];
    // `take` tells the compiler that `at` is within the rows.
    for (at, weights) in weights.chunks_exact(VECTORS * lanes).enumerate().take(depth) {
        let mut factors = [splat::<S>(0.0); VECTORS];
        for vector in 0..VECTORS {
            factors[vector] = load::<S>(&weights[vector * lanes..]);
        }
        for row in 0..ROWS {
            let value = splat::<S>(rows[row][at]);
            for vector in 0..VECTORS {
                sums[row][vector] = factors[vector].mul_add(value, sums[row][vector]);
            }
        }
    }
    for row in 0..ROWS {
        let to = &mut out.values[row * out.step..];
        for vector in 0..VECTORS {
            let to = &mut to[vector * lanes..];
            store::<S>(if adds { sums[row][vector] + load::<S>(to) } else { sums[row][vector] }, to);
        }
    }
    ROWS
}

/// Computes `sums[channel][output] += Σ_t inputs[t][channel] · gradients[t][output]` for [`CHANNELS`] channels and `width` outputs: at
/// most a [`group`], in whole vectors.
///
/// `gradients` starts at the first block of channels of the outputs. Every block has as many pixels as `inputs`. The first vector starts
/// at position `lane` of the block's pixels. Every sum runs from the first `t` to the last.
#[inline(always)]
pub(crate) fn accumulate<S: Simd>(
    inputs: &[Pixel],
    gradients: &[Pixel],
    lane: usize,
    sums: &mut [f32],
    width: usize,
) {
    match (width / S::lanes32(), S::lanes32() < CHANNELS) {
        (1, _) => accumulate_blocks::<S, 16, 16, 1>(inputs, gradients, lane, sums),
        (2, true) => accumulate_blocks::<S, 6, 4, 2>(inputs, gradients, lane, sums),
        (2, false) => accumulate_blocks::<S, 8, 8, 2>(inputs, gradients, lane, sums),
        (3, _) => accumulate_blocks::<S, 8, 8, 3>(inputs, gradients, lane, sums),
        (4, _) => accumulate_blocks::<S, 6, 4, 4>(inputs, gradients, lane, sums),
        (vectors, _) => unreachable!("{vectors} vectors of outputs"),
    }
}

/// Processes `MANY` channels at a time, and `FEW` at the end.
#[inline(always)]
fn accumulate_blocks<S: Simd, const MANY: usize, const FEW: usize, const VECTORS: usize>(
    inputs: &[Pixel],
    gradients: &[Pixel],
    lane: usize,
    sums: &mut [f32],
) {
    const { assert!((CHANNELS % MANY).is_multiple_of(FEW)) };
    let gradients: [(&[Pixel], usize); VECTORS] = array::from_fn(|vector| {
        let lane = lane + vector * S::lanes32();
        (&gradients[lane / CHANNELS * inputs.len()..][..inputs.len()], lane % CHANNELS)
    });
    let mut channel = 0;
    while channel < CHANNELS {
        let sums = &mut sums[channel * VECTORS * S::lanes32()..];
        channel += match CHANNELS - channel {
            left if left >= MANY => accumulate_block::<S, MANY, VECTORS>(inputs, channel, gradients, sums),
            _ => accumulate_block::<S, FEW, VECTORS>(inputs, channel, gradients, sums),
        };
    }
}

/// Processes `CHANNELS_AT_ONCE` channels from `first` on, and returns their number.
#[inline(always)]
fn accumulate_block<S: Simd, const CHANNELS_AT_ONCE: usize, const VECTORS: usize>(
    inputs: &[Pixel],
    first: usize,
    gradients: [(&[Pixel], usize); VECTORS],
    to: &mut [f32],
) -> usize {
    let lanes = S::lanes32();
    let mut sums = [[splat::<S>(0.0); VECTORS]; CHANNELS_AT_ONCE];
    for channel in 0..CHANNELS_AT_ONCE {
        for vector in 0..VECTORS {
            sums[channel][vector] = load::<S>(&to[(channel * VECTORS + vector) * lanes..]);
        }
    }
    for (at, input) in inputs.iter().enumerate() {
        let input = &input[first..][..CHANNELS_AT_ONCE];
        let mut factors = [splat::<S>(0.0); VECTORS];
        for vector in 0..VECTORS {
            let (gradients, lane) = gradients[vector];
            factors[vector] = load::<S>(&gradients[at][lane..]);
        }
        for channel in 0..CHANNELS_AT_ONCE {
            let value = splat::<S>(input[channel]);
            for vector in 0..VECTORS {
                sums[channel][vector] = factors[vector].mul_add(value, sums[channel][vector]);
            }
        }
    }
    for (to, sum) in to.chunks_exact_mut(lanes).zip(sums.as_flattened()) {
        store::<S>(*sum, to);
    }
    CHANNELS_AT_ONCE
}
