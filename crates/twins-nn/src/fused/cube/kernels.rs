//! The passes as CubeCL kernels, in single precision, on contiguous tensors `[samples, channels, space]`.

use burn_cubecl::cubecl;
use cubecl::prelude::*;

/// How a channel's values are shared out among the units that reduce them: a cube takes `planes` feature maps, or a
/// `segment` of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tiling {
    pub(super) planes: u32,
    pub(super) segment: u32,
    /// Units along a plane and across planes.
    pub(super) units: [u32; 2],
}

/// Moments of every channel's samples from `first` on, in as many parts as there are cubes.
///
/// They are those of the distances to the channel's first value, which is near the mean where the mean is large.
#[cube(launch)]
pub(super) fn moments(
    x: &[f32],
    counts: &mut [f32],
    means: &mut [f32],
    squares: &mut [f32],
    channels: u32,
    space: u32,
    first: u32,
    samples: u32,
    #[comptime] tiling: Tiling,
) {
    let channel = CUBE_POS_Y;
    let centre = x[((first * channels + channel) * space) as usize];
    let begin = first + CUBE_POS_X * tiling.planes;
    let end = u32::min(begin + tiling.planes, samples);
    let from = CUBE_POS_Z * tiling.segment;
    let to = u32::min(from + tiling.segment, space);

    // Two passes over a unit's own few values, the second from the cache: nothing cancels.
    let mut count = 0.0f32;
    let mut sum = 0.0f32;
    let mut sample = begin + UNIT_POS_Y;
    while sample < end {
        let plane = (sample * channels + channel) * space;
        let mut at = from + UNIT_POS_X;
        while at < to {
            sum += x[(plane + at) as usize] - centre;
            count += 1.0;
            at += CUBE_DIM_X;
        }
        sample += CUBE_DIM_Y;
    }
    let mean = sum / f32::max(count, 1.0);
    let mut square = 0.0f32;
    sample = begin + UNIT_POS_Y;
    while sample < end {
        let plane = (sample * channels + channel) * space;
        let mut at = from + UNIT_POS_X;
        while at < to {
            let distance = x[(plane + at) as usize] - centre - mean;
            square += distance * distance;
            at += CUBE_DIM_X;
        }
        sample += CUBE_DIM_Y;
    }

    let size = comptime!((tiling.units[0] * tiling.units[1]) as usize);
    let mut all_counts = Shared::<[f32]>::new_slice(size);
    let mut all_means = Shared::<[f32]>::new_slice(size);
    let mut all_squares = Shared::<[f32]>::new_slice(size);
    let unit = UNIT_POS as usize;
    all_counts[unit] = count;
    all_means[unit] = mean;
    all_squares[unit] = square;
    sync_cube();
    let mut step = CUBE_DIM / 2;
    while step > 0 {
        if UNIT_POS < step {
            let half = step as usize;
            let other_count = all_counts[unit + half];
            let total = all_counts[unit] + other_count;
            let distance = all_means[unit + half] - all_means[unit];
            let share = other_count / f32::max(total, 1.0);
            all_squares[unit] =
                all_squares[unit] + all_squares[unit + half] + distance * distance * all_counts[unit] * share;
            all_means[unit] += distance * share;
            all_counts[unit] = total;
        }
        sync_cube();
        step /= 2;
    }
    if unit == 0 {
        let part = ((CUBE_POS_Z * CUBE_COUNT_X + CUBE_POS_X) * channels + channel) as usize;
        counts[part] = all_counts[0];
        means[part] = all_means[0];
        squares[part] = all_squares[0];
    }
}

/// Puts a channel's parts together: its mean and biased variance, and the batch wing's line.
///
/// Lines hold, for every channel in turn: centre, scale, shift, 1 / standard deviation, and what the mean is above the
/// centre; the output is (x − centre) · scale + shift.
#[cube(launch)]
pub(super) fn batch_lines(
    x: &[f32],
    counts: &[f32],
    means: &[f32],
    squares: &[f32],
    gamma: &[f32],
    beta: &[f32],
    mean: &mut [f32],
    variance: &mut [f32],
    lines: &mut [f32],
    channels: u32,
    space: u32,
    first: u32,
    parts: u32,
    epsilon: f32,
) {
    let channel = ABSOLUTE_POS_X;
    if channel < channels {
        let mut count = 0.0f32;
        let mut above = 0.0f32;
        let mut square = 0.0f32;
        let mut part = 0u32;
        while part < parts {
            let at = (part * channels + channel) as usize;
            let total = count + counts[at];
            let distance = means[at] - above;
            let share = counts[at] / total;
            square = square + squares[at] + distance * distance * count * share;
            above += distance * share;
            count = total;
            part += 1;
        }
        let c = channel as usize;
        let centre = x[((first * channels + channel) * space) as usize];
        let spread = square / count;
        mean[c] = centre + above;
        variance[c] = spread;
        let inv_std = 1.0 / f32::sqrt(spread + epsilon);
        let scale = gamma[c] * inv_std;
        let size = channels as usize;
        lines[c] = centre;
        lines[size + c] = scale;
        lines[2 * size + c] = beta[c] - above * scale;
        lines[3 * size + c] = inv_std;
        lines[4 * size + c] = above;
    }
}

/// The fixed wing's lines, from given statistics.
#[cube(launch)]
pub(super) fn fixed_lines(
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    lines: &mut [f32],
    channels: u32,
    epsilon: f32,
) {
    let channel = ABSOLUTE_POS_X;
    if channel < channels {
        let c = channel as usize;
        let inv_std = 1.0 / f32::sqrt(variance[c] + epsilon);
        let size = channels as usize;
        lines[c] = mean[c];
        lines[size + c] = gamma[c] * inv_std;
        lines[2 * size + c] = beta[c];
        lines[3 * size + c] = inv_std;
        lines[4 * size + c] = 0.0;
    }
}

/// Normalises every value by its channel's line: `fixed` for the first samples, `batch` for the rest.
#[cube(launch)]
pub(super) fn forward(
    x: &[f32],
    fixed: &[f32],
    batch: &[f32],
    output: &mut [f32],
    channels: u32,
    space: u32,
    first: u32,
    samples: u32,
    #[comptime] relu: bool,
) {
    let mut plane = CUBE_POS_Y * CUBE_DIM_Y + UNIT_POS_Y;
    while plane < samples * channels {
        let c = (plane % channels) as usize;
        let size = channels as usize;
        let mut centre = batch[c];
        let mut scale = batch[size + c];
        let mut shift = batch[2 * size + c];
        if plane < first * channels {
            centre = fixed[c];
            scale = fixed[size + c];
            shift = fixed[2 * size + c];
        }
        let begin = plane * space;
        let end = begin + space;
        let mut at = begin + CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X;
        while at < end {
            let mut y = (x[at as usize] - centre) * scale + shift;
            if comptime!(relu) {
                // Not `max`, which would turn NaN into 0.
                if y < 0.0 {
                    y = 0.0;
                }
            }
            output[at as usize] = y;
            at += CUBE_COUNT_X * CUBE_DIM_X;
        }
        plane += CUBE_COUNT_Y * CUBE_DIM_Y;
    }
}

/// What the activation lets through of a gradient: as PyTorch, nothing at 0, and all at NaN.
#[cube]
#[allow(clippy::collapsible_if)] // The outer one is decided when the kernel is compiled.
fn gate(gradient: f32, output: f32, #[comptime] relu: bool) -> f32 {
    let mut gated = gradient;
    if comptime!(relu) {
        if output <= 0.0 {
            gated = 0.0;
        }
    }
    gated
}

/// Sums, per channel and part, of the gradient and of the gradient times the distance of the input to the line's centre.
#[cube(launch)]
pub(super) fn gradient_sums(
    x: &[f32],
    gradient: &[f32],
    lines: &[f32],
    plain: &mut [f32],
    distant: &mut [f32],
    channels: u32,
    space: u32,
    first: u32,
    samples: u32,
    #[comptime] relu: bool,
    #[comptime] tiling: Tiling,
) {
    let channel = CUBE_POS_Y;
    let c = channel as usize;
    let centre = lines[c];
    let scale = lines[channels as usize + c];
    let shift = lines[2 * channels as usize + c];
    let begin = first + CUBE_POS_X * tiling.planes;
    let end = u32::min(begin + tiling.planes, samples);
    let from = CUBE_POS_Z * tiling.segment;
    let to = u32::min(from + tiling.segment, space);
    let mut sum = 0.0f32;
    let mut distance_sum = 0.0f32;
    let mut sample = begin + UNIT_POS_Y;
    while sample < end {
        let plane = (sample * channels + channel) * space;
        let mut at = from + UNIT_POS_X;
        while at < to {
            let distance = x[(plane + at) as usize] - centre;
            let g = gate(gradient[(plane + at) as usize], distance * scale + shift, relu);
            sum += g;
            distance_sum += g * distance;
            at += CUBE_DIM_X;
        }
        sample += CUBE_DIM_Y;
    }

    let size = comptime!((tiling.units[0] * tiling.units[1]) as usize);
    let mut sums = Shared::<[f32]>::new_slice(size);
    let mut distances = Shared::<[f32]>::new_slice(size);
    let unit = UNIT_POS as usize;
    sums[unit] = sum;
    distances[unit] = distance_sum;
    sync_cube();
    let mut step = CUBE_DIM / 2;
    while step > 0 {
        if UNIT_POS < step {
            let half = step as usize;
            sums[unit] += sums[unit + half];
            distances[unit] += distances[unit + half];
        }
        sync_cube();
        step /= 2;
    }
    if unit == 0 {
        let part = ((CUBE_POS_Z * CUBE_COUNT_X + CUBE_POS_X) * channels + channel) as usize;
        plain[part] = sums[0];
        distant[part] = distances[0];
    }
}

/// Puts the parts together: gradients of gamma and beta, and what batch statistics take off an input's gradient,
/// x̂ · slope + offset.
#[cube(launch)]
pub(super) fn affine_gradients(
    plain: &[f32],
    distant: &[f32],
    lines: &[f32],
    gamma: &mut [f32],
    beta: &mut [f32],
    pulls: &mut [f32],
    channels: u32,
    parts: u32,
    count: f32,
) {
    let channel = ABSOLUTE_POS_X;
    if channel < channels {
        let mut sum = 0.0f32;
        let mut distance = 0.0f32;
        let mut part = 0u32;
        while part < parts {
            let at = (part * channels + channel) as usize;
            sum += plain[at];
            distance += distant[at];
            part += 1;
        }
        let c = channel as usize;
        let size = channels as usize;
        let scale = lines[size + c];
        let inv_std = lines[3 * size + c];
        let above = lines[4 * size + c];
        let normalised = (distance - above * sum) * inv_std;
        gamma[c] = normalised;
        beta[c] = sum;
        // Per unit of x − centre.
        let slope = scale * normalised / count * inv_std;
        pulls[c] = slope;
        pulls[size + c] = scale * sum / count - above * slope;
    }
}

/// Turns the output's gradient into the input's.
#[cube(launch)]
pub(super) fn backward(
    x: &[f32],
    gradient: &[f32],
    fixed: &[f32],
    batch: &[f32],
    pulls: &[f32],
    output: &mut [f32],
    channels: u32,
    space: u32,
    first: u32,
    samples: u32,
    #[comptime] relu: bool,
) {
    let mut plane = CUBE_POS_Y * CUBE_DIM_Y + UNIT_POS_Y;
    while plane < samples * channels {
        let c = (plane % channels) as usize;
        let size = channels as usize;
        let mut centre = batch[c];
        let mut scale = batch[size + c];
        let mut shift = batch[2 * size + c];
        let is_fixed = plane < first * channels;
        if is_fixed {
            centre = fixed[c];
            scale = fixed[size + c];
            shift = fixed[2 * size + c];
        }
        let slope = pulls[c];
        let offset = pulls[size + c];
        let begin = plane * space;
        let end = begin + space;
        let mut at = begin + CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X;
        while at < end {
            let distance = x[at as usize] - centre;
            let mut g = gate(gradient[at as usize], distance * scale + shift, relu) * scale;
            if !is_fixed {
                g = g - distance * slope - offset;
            }
            output[at as usize] = g;
            at += CUBE_COUNT_X * CUBE_DIM_X;
        }
        plane += CUBE_COUNT_Y * CUBE_DIM_Y;
    }
}
