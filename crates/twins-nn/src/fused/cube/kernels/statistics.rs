//! Statistics of a batch, and the lines of both wings.

use burn_cubecl::cubecl;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::Units;
use super::merge::merged_moments;

/// Computes moments of every channel over the rows from `first` to `rows`, `chunk` rows per cube: means and sums of
/// squared distances, `[2, parts, channels]`.
///
/// The moments are those of the distances from the channel's first value, which is near the mean where the mean is large.
#[cube(launch)]
pub(crate) fn moments<F: Float, N: Size>(
    x: &[Vector<F, N>],
    partial: &mut [Vector<f32, N>],
    row: u32,
    channels: u32,
    first: u32,
    rows: u32,
    chunk: u32,
    #[comptime] units: Units,
    #[define(F)] _dtype: ElemType,
) {
    let channel = CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X;
    let is_channel = channel < channels;
    // A unit beyond the last channel reads the last channel, so that all units reach the barriers.
    let column = u32::min(channel, channels - 1);
    let centre = Vector::<f32, N>::cast_from(x[(first * row + column) as usize]);
    let begin = first + CUBE_POS_Y * chunk + UNIT_POS_Y;
    let end = u32::min(first + (CUBE_POS_Y + 1) * chunk, rows);

    // Two passes over the few values of a unit avoid cancellation. The second pass reads from the cache.
    let mut count = 0.0f32;
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut at = begin;
    while at < end {
        sum += Vector::<f32, N>::cast_from(x[(at * row + column) as usize]) - centre;
        count += 1.0;
        at += CUBE_DIM_Y;
    }
    let mean = sum / Vector::new(f32::max(count, 1.0));
    let mut square = Vector::<f32, N>::new(0.0);
    at = begin;
    while at < end {
        let distance = Vector::<f32, N>::cast_from(x[(at * row + column) as usize]) - centre - mean;
        square += distance * distance;
        at += CUBE_DIM_Y;
    }

    let (_, mean, square) = merged_moments(count, mean, square, units);
    if UNIT_POS_Y == 0 && is_channel {
        partial[(CUBE_POS_Y * channels + channel) as usize] = mean;
        partial[((CUBE_COUNT_Y + CUBE_POS_Y) * channels + channel) as usize] = square;
    }
}

/// Merges the parts of a channel into its mean, its biased variance and the batch wing's line.
#[cube(launch)]
pub(crate) fn batch_lines<F: Float, P: Float, N: Size>(
    x: &[Vector<F, N>],
    partial: &[Vector<f32, N>],
    gamma: &[Vector<P, N>],
    beta: &[Vector<P, N>],
    mean: &mut [Vector<P, N>],
    variance: &mut [Vector<P, N>],
    lines: &mut [Vector<f32, N>],
    row: u32,
    channels: u32,
    first: u32,
    rows: u32,
    chunk: u32,
    parts: u32,
    epsilon: f32,
    #[comptime] units: Units,
    #[define(F, P)] _dtypes: [ElemType; 2],
) {
    let channel = CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X;
    let is_channel = channel < channels;
    let column = u32::min(channel, channels - 1);
    let mut count = 0.0f32;
    let mut above = Vector::<f32, N>::new(0.0);
    let mut square = Vector::<f32, N>::new(0.0);
    let mut part = UNIT_POS_Y;
    while part < parts {
        let begin = first + part * chunk;
        let more = f32::cast_from(u32::min(begin + chunk, rows) - begin);
        let total = count + more;
        let distance = partial[(part * channels + column) as usize] - above;
        let share = more / total;
        let between = distance * distance * Vector::new(count * share);
        square = square + partial[((parts + part) * channels + column) as usize] + between;
        above += distance * Vector::new(share);
        count = total;
        part += CUBE_DIM_Y;
    }
    let (count, above, square) = merged_moments(count, above, square, units);
    if UNIT_POS_Y == 0 && is_channel {
        let c = channel as usize;
        let size = channels as usize;
        let centre = Vector::<f32, N>::cast_from(x[(first * row + channel) as usize]);
        let spread = square / Vector::new(count);
        mean[c] = Vector::cast_from(centre + above);
        variance[c] = Vector::cast_from(spread);
        let inv_std = inverse_deviation(spread, epsilon);
        let scale = Vector::<f32, N>::cast_from(gamma[c]) * inv_std;
        lines[c] = centre;
        lines[size + c] = scale;
        lines[2 * size + c] = Vector::<f32, N>::cast_from(beta[c]) - above * scale;
        lines[3 * size + c] = inv_std;
        lines[4 * size + c] = above;
    }
}

/// Computes the fixed wing's lines from given statistics.
#[cube(launch)]
pub(crate) fn fixed_lines<P: Float, N: Size>(
    gamma: &[Vector<P, N>],
    beta: &[Vector<P, N>],
    mean: &[Vector<P, N>],
    variance: &[Vector<P, N>],
    lines: &mut [Vector<f32, N>],
    channels: u32,
    epsilon: f32,
    #[define(P)] _dtype: ElemType,
) {
    let channel = ABSOLUTE_POS_X;
    if channel < channels {
        let c = channel as usize;
        let size = channels as usize;
        let inv_std = inverse_deviation(Vector::<f32, N>::cast_from(variance[c]), epsilon);
        lines[c] = Vector::cast_from(mean[c]);
        lines[size + c] = Vector::<f32, N>::cast_from(gamma[c]) * inv_std;
        lines[2 * size + c] = Vector::cast_from(beta[c]);
        lines[3 * size + c] = inv_std;
        lines[4 * size + c] = Vector::new(0.0);
    }
}

#[cube]
pub(super) fn inverse_deviation<N: Size>(variance: Vector<f32, N>, epsilon: f32) -> Vector<f32, N> {
    Vector::new(1.0) / (variance + Vector::new(epsilon)).sqrt()
}
