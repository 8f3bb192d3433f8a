//! Products of matrices of single precision: many rows, each with the same weights.

use std::array;

use macerator::Simd;

use super::planes::Pixel;
use super::simd::{CHANNELS, Values, load, splat, store};

/// Vectors of outputs that are summed at once: as many as leave registers for several rows.
pub(crate) fn vectors(lanes: usize) -> usize {
    if lanes < CHANNELS { 2 } else { 4 }
}

/// OutputRows of outputs, so many values apart, of which a product writes the first few vectors.
pub(crate) struct OutputRows<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) step: usize,
}

/// `out[row][output] = bias[output] + Σ_c rows[row][c] · weights[c][output]` for one to [`vectors`] vectors of outputs.
///
/// `rows` is `[row][depth]`, `weights` `[depth][outputs]`. Every sum goes from the first `c` to the last, so that the values of a row do
/// not depend on the other rows.
#[inline(always)]
pub(crate) fn product<S: Simd>(
    rows: &[f32],
    depth: usize,
    weights: &[f32],
    bias: Option<&[f32]>,
    out: &mut OutputRows,
) {
    match (weights.len() / (depth * S::lanes32()), S::lanes32() < CHANNELS) {
        (1, _) => blocks::<S, 12, 4, 1>(rows, depth, weights, bias, out),
        (2, true) => blocks::<S, 6, 2, 2>(rows, depth, weights, bias, out),
        (2, false) => blocks::<S, 12, 4, 2>(rows, depth, weights, bias, out),
        (3, _) => blocks::<S, 8, 4, 3>(rows, depth, weights, bias, out),
        (4, _) => blocks::<S, 6, 2, 4>(rows, depth, weights, bias, out),
        (vectors, _) => unreachable!("{vectors} vectors of outputs"),
    }
}

/// `MANY` rows at a time, of what is left `FEW`, and then one.
#[inline(always)]
fn blocks<S: Simd, const MANY: usize, const FEW: usize, const VECTORS: usize>(
    rows: &[f32],
    depth: usize,
    weights: &[f32],
    bias: Option<&[f32]>,
    out: &mut OutputRows,
) {
    let mut first = [splat::<S>(0.0); VECTORS];
    if let Some(bias) = bias {
        for vector in 0..VECTORS {
            first[vector] = load::<S>(&bias[vector * S::lanes32()..]);
        }
    }
    let (mut row, count) = (0, rows.len() / depth);
    while row < count {
        let (rows, out) =
            (&rows[row * depth..], OutputRows { values: &mut out.values[row * out.step..], ..*out });
        row += match count - row {
            left if left >= MANY => block::<S, MANY, VECTORS>(rows, depth, weights, first, out),
            left if left >= FEW => block::<S, FEW, VECTORS>(rows, depth, weights, first, out),
            _ => block::<S, 1, VECTORS>(rows, depth, weights, first, out),
        };
    }
}

/// The first `ROWS` rows; returns how many these are.
#[inline(always)]
fn block<S: Simd, const ROWS: usize, const VECTORS: usize>(
    rows: &[f32],
    depth: usize,
    weights: &[f32],
    first: [Values<S>; VECTORS],
    out: OutputRows,
) -> usize {
    let lanes = S::lanes32();
    let rows: [&[f32]; ROWS] = array::from_fn(|row| &rows[row * depth..][..depth]);
    let mut sums = [first; ROWS];
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
            store::<S>(sums[row][vector], &mut to[vector * lanes..]);
        }
    }
    ROWS
}

/// `sums[row][output] += Σ_t rows[t][row] · weights[t][output]`, for [`CHANNELS`] rows and `width` outputs, which are one to [`vectors`]
/// vectors.
///
/// `weights` begins with the outputs' block and goes on with the next ones, `count` pixels each, of which the first vector stands at
/// `lane`. Every sum goes from the first `t` to the last.
#[inline(always)]
pub(crate) fn accumulate<S: Simd>(
    rows: &[Pixel],
    weights: &[Pixel],
    lane: usize,
    sums: &mut [f32],
    width: usize,
) {
    match (width / S::lanes32(), S::lanes32() < CHANNELS) {
        (1, _) => sum_blocks::<S, 16, 16, 1>(rows, weights, lane, sums),
        (2, true) => sum_blocks::<S, 6, 4, 2>(rows, weights, lane, sums),
        (2, false) => sum_blocks::<S, 8, 8, 2>(rows, weights, lane, sums),
        (3, _) => sum_blocks::<S, 8, 8, 3>(rows, weights, lane, sums),
        (4, _) => sum_blocks::<S, 6, 4, 4>(rows, weights, lane, sums),
        (vectors, _) => unreachable!("{vectors} vectors of outputs"),
    }
}

/// `MANY` rows at a time, and `FEW` in the end.
#[inline(always)]
fn sum_blocks<S: Simd, const MANY: usize, const FEW: usize, const VECTORS: usize>(
    rows: &[Pixel],
    weights: &[Pixel],
    lane: usize,
    sums: &mut [f32],
) {
    let weights: [(&[Pixel], usize); VECTORS] = array::from_fn(|vector| {
        let lane = lane + vector * S::lanes32();
        (&weights[lane / CHANNELS * rows.len()..][..rows.len()], lane % CHANNELS)
    });
    let mut row = 0;
    while row < CHANNELS {
        let sums = &mut sums[row * VECTORS * S::lanes32()..];
        row += match CHANNELS - row {
            left if left >= MANY => sum_block::<S, MANY, VECTORS>(rows, row, weights, sums),
            _ => sum_block::<S, FEW, VECTORS>(rows, row, weights, sums),
        };
    }
}

/// `ROWS` rows from the `first` on; returns how many these are.
#[inline(always)]
fn sum_block<S: Simd, const ROWS: usize, const VECTORS: usize>(
    rows: &[Pixel],
    first: usize,
    weights: [(&[Pixel], usize); VECTORS],
    to: &mut [f32],
) -> usize {
    let lanes = S::lanes32();
    let mut sums = [[splat::<S>(0.0); VECTORS]; ROWS];
    for row in 0..ROWS {
        for vector in 0..VECTORS {
            sums[row][vector] = load::<S>(&to[(row * VECTORS + vector) * lanes..]);
        }
    }
    for (at, rows) in rows.iter().enumerate() {
        let rows = &rows[first..][..ROWS];
        let mut factors = [splat::<S>(0.0); VECTORS];
        for vector in 0..VECTORS {
            let (weights, lane) = weights[vector];
            factors[vector] = load::<S>(&weights[at][lane..]);
        }
        for row in 0..ROWS {
            let value = splat::<S>(rows[row]);
            for vector in 0..VECTORS {
                sums[row][vector] = factors[vector].mul_add(value, sums[row][vector]);
            }
        }
    }
    for (to, sum) in to.chunks_exact_mut(lanes).zip(sums.as_flattened()) {
        store::<S>(*sum, to);
    }
    ROWS
}
