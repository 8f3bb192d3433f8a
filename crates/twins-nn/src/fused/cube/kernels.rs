//! The passes as CubeCL kernels.
//!
//! A batch is a matrix here, `[pixels of all samples, channels]`, of which a row begins every so many values: the form in which Burn's
//! convolutions leave it. Its values have the precision `F` and are read and written `N` channels at a time; gamma, beta and the statistics
//! have the precision `P`. All arithmetic is in single precision. Counts and positions of channels are in vectors of `N`.
//!
//! Units along a cube's first axis have neighbouring channels, those along the second have rows.
//!
//! *Lines* are `[5, channels]` and hold, for every channel: centre, scale, shift, 1 / standard deviation, and what the mean is above the
//! centre. The output is (x − centre) · scale + shift.

use burn_cubecl::cubecl;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

/// The form of a cube.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Units {
    /// Units along the channels.
    pub(super) along: u32,
    /// Units across them: a power of two.
    pub(super) across: u32,
}

/// Puts the counts, means and sums of squared distances of all units of a channel together, in the first.
#[cube]
fn merge_moments<N: Size>(
    counts: &mut Shared<[f32]>,
    means: &mut Shared<[Vector<f32, N>]>,
    squares: &mut Shared<[Vector<f32, N>]>,
    #[comptime] units: Units,
) {
    let unit = (UNIT_POS_Y * units.along + UNIT_POS_X) as usize;
    let mut step = comptime!(units.across / 2).runtime();
    sync_cube();
    while step > 0 {
        if UNIT_POS_Y < step {
            let other = unit + (step * units.along) as usize;
            let count = counts[unit];
            let total = count + counts[other];
            let distance = means[other] - means[unit];
            let share = counts[other] / f32::max(total, 1.0);
            let between = distance * distance * Vector::new(count * share);
            squares[unit] = squares[unit] + squares[other] + between;
            means[unit] += distance * Vector::new(share);
            counts[unit] = total;
        }
        sync_cube();
        step /= 2;
    }
}

/// Adds two sums of all units of a channel up, in the first.
#[cube]
fn merge_sums<N: Size>(
    first: &mut Shared<[Vector<f32, N>]>,
    second: &mut Shared<[Vector<f32, N>]>,
    #[comptime] units: Units,
) {
    let unit = (UNIT_POS_Y * units.along + UNIT_POS_X) as usize;
    let mut step = comptime!(units.across / 2).runtime();
    sync_cube();
    while step > 0 {
        if UNIT_POS_Y < step {
            let other = unit + (step * units.along) as usize;
            let (more, further) = (first[other], second[other]);
            first[unit] += more;
            second[unit] += further;
        }
        sync_cube();
        step /= 2;
    }
}

/// Moments of every channel's rows from `first` to `rows`, `chunk` of them to a cube: means and sums of squared distances,
/// `[2, parts, channels]`.
///
/// They are those of the distances to the channel's first value, which is near the mean where the mean is large.
#[cube(launch)]
pub(super) fn moments<F: Float, N: Size>(
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
    // A unit without a channel has one to read all the same, so that all of them meet at the barriers.
    let column = u32::min(channel, channels - 1);
    let centre = Vector::<f32, N>::cast_from(x[(first * row + column) as usize]);
    let begin = first + CUBE_POS_Y * chunk + UNIT_POS_Y;
    let end = u32::min(first + (CUBE_POS_Y + 1) * chunk, rows);

    // Two passes over a unit's own few values, the second from the cache: nothing cancels.
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

    let size = comptime!((units.along * units.across) as usize);
    let mut counts = Shared::<[f32]>::new_slice(size);
    let mut means = Shared::<[Vector<f32, N>]>::new_slice(size);
    let mut squares = Shared::<[Vector<f32, N>]>::new_slice(size);
    let unit = (UNIT_POS_Y * units.along + UNIT_POS_X) as usize;
    counts[unit] = count;
    means[unit] = mean;
    squares[unit] = square;
    merge_moments(&mut counts, &mut means, &mut squares, units);
    if UNIT_POS_Y == 0 && is_channel {
        partial[(CUBE_POS_Y * channels + channel) as usize] = means[unit];
        partial[((CUBE_COUNT_Y + CUBE_POS_Y) * channels + channel) as usize] = squares[unit];
    }
}

/// Puts a channel's parts together: its mean and biased variance, and the batch wing's line.
#[cube(launch)]
pub(super) fn batch_lines<F: Float, P: Float, N: Size>(
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
    let size = comptime!((units.along * units.across) as usize);
    let mut counts = Shared::<[f32]>::new_slice(size);
    let mut means = Shared::<[Vector<f32, N>]>::new_slice(size);
    let mut squares = Shared::<[Vector<f32, N>]>::new_slice(size);
    let unit = (UNIT_POS_Y * units.along + UNIT_POS_X) as usize;
    counts[unit] = count;
    means[unit] = above;
    squares[unit] = square;
    merge_moments(&mut counts, &mut means, &mut squares, units);
    if UNIT_POS_Y == 0 && is_channel {
        let c = channel as usize;
        let size = channels as usize;
        let centre = Vector::<f32, N>::cast_from(x[(first * row + channel) as usize]);
        let spread = squares[unit] / Vector::new(counts[unit]);
        mean[c] = Vector::cast_from(centre + means[unit]);
        variance[c] = Vector::cast_from(spread);
        let inv_std = inverse_deviation(spread, epsilon);
        let scale = Vector::<f32, N>::cast_from(gamma[c]) * inv_std;
        lines[c] = centre;
        lines[size + c] = scale;
        lines[2 * size + c] = Vector::<f32, N>::cast_from(beta[c]) - means[unit] * scale;
        lines[3 * size + c] = inv_std;
        lines[4 * size + c] = means[unit];
    }
}

#[cube]
fn inverse_deviation<N: Size>(variance: Vector<f32, N>, epsilon: f32) -> Vector<f32, N> {
    Vector::new(1.0) / (variance + Vector::new(epsilon)).sqrt()
}

/// The fixed wing's lines, from given statistics.
#[cube(launch)]
pub(super) fn fixed_lines<P: Float, N: Size>(
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

/// The activation of a value. Not `max`, which would turn NaN into 0.
#[cube]
fn activated<N: Size>(value: Vector<f32, N>, #[comptime] relu: bool) -> Vector<f32, N> {
    let mut activated = value;
    if comptime!(relu) {
        let zero = Vector::<f32, N>::new(0.0);
        activated = select_many(value.less_than(&zero), zero, value);
    }
    activated
}

/// What ReLU lets through of a gradient: as PyTorch, nothing at 0, and all at NaN.
#[cube]
fn gated<N: Size>(
    gradient: Vector<f32, N>,
    output: Vector<f32, N>,
    #[comptime] relu: bool,
) -> Vector<f32, N> {
    let mut gated = gradient;
    if comptime!(relu) {
        let zero = Vector::<f32, N>::new(0.0);
        gated = select_many(output.less_equal(&zero), zero, gradient);
    }
    gated
}

/// Normalises every value by its channel's line: `fixed` in the rows before `first`, `batch` in the rest.
#[cube(launch)]
pub(super) fn forward<F: Float, N: Size>(
    x: &[Vector<F, N>],
    residual: &[Vector<F, N>],
    fixed: &[Vector<f32, N>],
    batch: &[Vector<f32, N>],
    output: &mut [Vector<F, N>],
    row: u32,
    residual_row: u32,
    output_row: u32,
    channels: u32,
    first: u32,
    rows: u32,
    #[comptime] adds: bool,
    #[comptime] relu: bool,
    #[define(F)] _dtype: ElemType,
) {
    let channel = CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X;
    if channel < channels {
        let c = channel as usize;
        let size = channels as usize;
        let mut at = CUBE_POS_Y * CUBE_DIM_Y + UNIT_POS_Y;
        while at < rows {
            let mut centre = batch[c];
            let mut scale = batch[size + c];
            let mut shift = batch[2 * size + c];
            if at < first {
                centre = fixed[c];
                scale = fixed[size + c];
                shift = fixed[2 * size + c];
            }
            let distance = Vector::<f32, N>::cast_from(x[(at * row + channel) as usize]) - centre;
            let mut y = distance * scale + shift;
            if comptime!(adds) {
                y += Vector::<f32, N>::cast_from(residual[(at * residual_row + channel) as usize]);
            }
            output[(at * output_row + channel) as usize] = Vector::cast_from(activated(y, relu));
            at += CUBE_COUNT_Y * CUBE_DIM_Y;
        }
    }
}

/// [`forward`] of the fixed wing alone, from its statistics.
#[cube(launch)]
pub(super) fn fixed_forward<F: Float, P: Float, N: Size>(
    x: &[Vector<F, N>],
    residual: &[Vector<F, N>],
    gamma: &[Vector<P, N>],
    beta: &[Vector<P, N>],
    mean: &[Vector<P, N>],
    variance: &[Vector<P, N>],
    output: &mut [Vector<F, N>],
    row: u32,
    residual_row: u32,
    output_row: u32,
    channels: u32,
    rows: u32,
    epsilon: f32,
    #[comptime] adds: bool,
    #[comptime] relu: bool,
    #[define(F, P)] _dtypes: [ElemType; 2],
) {
    let channel = CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X;
    if channel < channels {
        let c = channel as usize;
        let centre = Vector::<f32, N>::cast_from(mean[c]);
        let inv_std = inverse_deviation(Vector::<f32, N>::cast_from(variance[c]), epsilon);
        let scale = Vector::<f32, N>::cast_from(gamma[c]) * inv_std;
        let shift = Vector::<f32, N>::cast_from(beta[c]);
        let mut at = CUBE_POS_Y * CUBE_DIM_Y + UNIT_POS_Y;
        while at < rows {
            let distance = Vector::<f32, N>::cast_from(x[(at * row + channel) as usize]) - centre;
            let mut y = distance * scale + shift;
            if comptime!(adds) {
                y += Vector::<f32, N>::cast_from(residual[(at * residual_row + channel) as usize]);
            }
            output[(at * output_row + channel) as usize] = Vector::cast_from(activated(y, relu));
            at += CUBE_COUNT_Y * CUBE_DIM_Y;
        }
    }
}

/// What ReLU lets through of a gradient, by the sign of its output.
#[cube(launch)]
pub(super) fn relu_gradient<F: Float, N: Size>(
    gradient: &[Vector<F, N>],
    output: &[Vector<F, N>],
    let_through: &mut [Vector<F, N>],
    row: u32,
    output_row: u32,
    written_row: u32,
    channels: u32,
    rows: u32,
    #[define(F)] _dtype: ElemType,
) {
    let channel = CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X;
    if channel < channels {
        let mut at = CUBE_POS_Y * CUBE_DIM_Y + UNIT_POS_Y;
        while at < rows {
            let g = Vector::<f32, N>::cast_from(gradient[(at * row + channel) as usize]);
            let y = Vector::<f32, N>::cast_from(output[(at * output_row + channel) as usize]);
            let_through[(at * written_row + channel) as usize] = Vector::cast_from(gated(g, y, true));
            at += CUBE_COUNT_Y * CUBE_DIM_Y;
        }
    }
}

/// Sums of the gradient, and of the gradient times the distance of the input to the line's centre: `[2, parts, channels]`. The first
/// `fixed_parts` cubes across are for the rows before `first`, the others for the rest.
#[cube(launch)]
pub(super) fn gradient_sums<F: Float, N: Size>(
    x: &[Vector<F, N>],
    gradient: &[Vector<F, N>],
    fixed: &[Vector<f32, N>],
    batch: &[Vector<f32, N>],
    partial: &mut [Vector<f32, N>],
    row: u32,
    gradient_row: u32,
    channels: u32,
    first: u32,
    rows: u32,
    chunk: u32,
    fixed_parts: u32,
    #[comptime] relu: bool,
    #[comptime] units: Units,
    #[define(F)] _dtype: ElemType,
) {
    let channel = CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X;
    let is_channel = channel < channels;
    let column = u32::min(channel, channels - 1);
    let c = column as usize;
    let size = channels as usize;
    let mut centre = batch[c];
    let mut scale = batch[size + c];
    let mut shift = batch[2 * size + c];
    let mut begin = first;
    let mut end = rows;
    if CUBE_POS_Y < fixed_parts {
        centre = fixed[c];
        scale = fixed[size + c];
        shift = fixed[2 * size + c];
        begin = CUBE_POS_Y * chunk;
        end = first;
    } else {
        begin += (CUBE_POS_Y - fixed_parts) * chunk;
    }
    end = u32::min(begin + chunk, end);
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut distance_sum = Vector::<f32, N>::new(0.0);
    let mut at = begin + UNIT_POS_Y;
    while at < end {
        let distance = Vector::<f32, N>::cast_from(x[(at * row + column) as usize]) - centre;
        let g = Vector::<f32, N>::cast_from(gradient[(at * gradient_row + column) as usize]);
        let g = gated(g, distance * scale + shift, relu);
        sum += g;
        distance_sum += g * distance;
        at += CUBE_DIM_Y;
    }

    let shared = comptime!((units.along * units.across) as usize);
    let mut sums = Shared::<[Vector<f32, N>]>::new_slice(shared);
    let mut distances = Shared::<[Vector<f32, N>]>::new_slice(shared);
    let unit = (UNIT_POS_Y * units.along + UNIT_POS_X) as usize;
    sums[unit] = sum;
    distances[unit] = distance_sum;
    merge_sums(&mut sums, &mut distances, units);
    if UNIT_POS_Y == 0 && is_channel {
        partial[(CUBE_POS_Y * channels + channel) as usize] = sums[unit];
        partial[((CUBE_COUNT_Y + CUBE_POS_Y) * channels + channel) as usize] = distances[unit];
    }
}

/// Puts the parts of one wing together, `from` to `to` of `parts`: gradients of gamma and beta, and what batch statistics take off an
/// input's gradient, `[2, channels]`: (x − centre) · slope + offset.
#[cube(launch)]
pub(super) fn affine_gradients<P: Float, N: Size>(
    partial: &[Vector<f32, N>],
    lines: &[Vector<f32, N>],
    gamma: &mut [Vector<P, N>],
    beta: &mut [Vector<P, N>],
    pulls: &mut [Vector<f32, N>],
    channels: u32,
    parts: u32,
    from: u32,
    to: u32,
    count: f32,
    #[comptime] units: Units,
    #[define(P)] _dtype: ElemType,
) {
    let channel = CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X;
    let is_channel = channel < channels;
    let column = u32::min(channel, channels - 1);
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut distance = Vector::<f32, N>::new(0.0);
    let mut part = from + UNIT_POS_Y;
    while part < to {
        sum += partial[(part * channels + column) as usize];
        distance += partial[((parts + part) * channels + column) as usize];
        part += CUBE_DIM_Y;
    }
    let shared = comptime!((units.along * units.across) as usize);
    let mut sums = Shared::<[Vector<f32, N>]>::new_slice(shared);
    let mut distances = Shared::<[Vector<f32, N>]>::new_slice(shared);
    let unit = (UNIT_POS_Y * units.along + UNIT_POS_X) as usize;
    sums[unit] = sum;
    distances[unit] = distance;
    merge_sums(&mut sums, &mut distances, units);
    if UNIT_POS_Y == 0 && is_channel {
        let c = channel as usize;
        let size = channels as usize;
        let scale = lines[size + c];
        let inv_std = lines[3 * size + c];
        let above = lines[4 * size + c];
        let normalised = (distances[unit] - above * sums[unit]) * inv_std;
        gamma[c] = Vector::cast_from(normalised);
        beta[c] = Vector::cast_from(sums[unit]);
        // Per unit of x − centre.
        let slope = scale * normalised / Vector::new(count) * inv_std;
        pulls[c] = slope;
        pulls[size + c] = scale * sums[unit] / Vector::new(count) - above * slope;
    }
}

/// Turns the output's gradient into the input's.
#[cube(launch)]
pub(super) fn backward<F: Float, N: Size>(
    x: &[Vector<F, N>],
    gradient: &[Vector<F, N>],
    fixed: &[Vector<f32, N>],
    batch: &[Vector<f32, N>],
    pulls: &[Vector<f32, N>],
    input_gradient: &mut [Vector<F, N>],
    row: u32,
    gradient_row: u32,
    written_row: u32,
    channels: u32,
    first: u32,
    rows: u32,
    #[comptime] relu: bool,
    #[define(F)] _dtype: ElemType,
) {
    let channel = CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X;
    if channel < channels {
        let c = channel as usize;
        let size = channels as usize;
        let mut at = CUBE_POS_Y * CUBE_DIM_Y + UNIT_POS_Y;
        while at < rows {
            let mut centre = batch[c];
            let mut scale = batch[size + c];
            let mut shift = batch[2 * size + c];
            let is_fixed = at < first;
            if is_fixed {
                centre = fixed[c];
                scale = fixed[size + c];
                shift = fixed[2 * size + c];
            }
            let distance = Vector::<f32, N>::cast_from(x[(at * row + channel) as usize]) - centre;
            let g = Vector::<f32, N>::cast_from(gradient[(at * gradient_row + channel) as usize]);
            let mut g = gated(g, distance * scale + shift, relu) * scale;
            if !is_fixed {
                g = g - distance * pulls[c] - pulls[size + c];
            }
            input_gradient[(at * written_row + channel) as usize] = Vector::cast_from(g);
            at += CUBE_COUNT_Y * CUBE_DIM_Y;
        }
    }
}

/// [`backward`] of the fixed wing alone, by the sign of its output.
#[cube(launch)]
pub(super) fn fixed_backward<F: Float, P: Float, N: Size>(
    gradient: &[Vector<F, N>],
    output: &[Vector<F, N>],
    gamma: &[Vector<P, N>],
    variance: &[Vector<P, N>],
    input_gradient: &mut [Vector<F, N>],
    row: u32,
    output_row: u32,
    written_row: u32,
    channels: u32,
    rows: u32,
    epsilon: f32,
    #[comptime] relu: bool,
    #[define(F, P)] _dtypes: [ElemType; 2],
) {
    let channel = CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X;
    if channel < channels {
        let c = channel as usize;
        let inv_std = inverse_deviation(Vector::<f32, N>::cast_from(variance[c]), epsilon);
        let scale = Vector::<f32, N>::cast_from(gamma[c]) * inv_std;
        let mut at = CUBE_POS_Y * CUBE_DIM_Y + UNIT_POS_Y;
        while at < rows {
            let mut g = Vector::<f32, N>::cast_from(gradient[(at * row + channel) as usize]);
            if comptime!(relu) {
                g = gated(g, Vector::<f32, N>::cast_from(output[(at * output_row + channel) as usize]), relu);
            }
            input_gradient[(at * written_row + channel) as usize] = Vector::cast_from(g * scale);
            at += CUBE_COUNT_Y * CUBE_DIM_Y;
        }
    }
}
