//! The backward pass.

use burn_cubecl::cubecl;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::Units;
use super::merge::merged_sums;
use super::statistics::inverse_deviation;

/// Computes ReLU's gradient from the sign of its output.
#[cube(launch)]
pub(crate) fn relu_gradient<F: Float, N: Size>(
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

/// Sums the gradient, and the gradient times the distance of the input from the line's centre, into `[2, parts, channels]`.
///
/// The first `fixed_parts` cubes across sum rows before `first`, the other cubes sum the remaining rows.
#[cube(launch)]
pub(crate) fn gradient_sums<F: Float, N: Size>(
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

    let (sum, distance_sum) = merged_sums(sum, distance_sum, units);
    if UNIT_POS_Y == 0 && is_channel {
        partial[(CUBE_POS_Y * channels + channel) as usize] = sum;
        partial[((CUBE_COUNT_Y + CUBE_POS_Y) * channels + channel) as usize] = distance_sum;
    }
}

/// Merges the parts `from` to `to` (of `parts`) of one wing into the gradients of gamma and beta.
///
/// It also computes the correction that batch statistics subtract from the input's gradient, (x − centre) · slope + offset, as
/// `[2, channels]`.
#[cube(launch)]
pub(crate) fn affine_gradients<P: Float, N: Size>(
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
    let (sum, distance) = merged_sums(sum, distance, units);
    if UNIT_POS_Y == 0 && is_channel {
        let c = channel as usize;
        let size = channels as usize;
        let scale = lines[size + c];
        let inv_std = lines[3 * size + c];
        let above = lines[4 * size + c];
        let normalised = (distance - above * sum) * inv_std;
        gamma[c] = Vector::cast_from(normalised);
        beta[c] = Vector::cast_from(sum);
        // The slope is per unit of x − centre.
        let slope = scale * normalised / Vector::new(count) * inv_std;
        pulls[c] = slope;
        pulls[size + c] = scale * sum / Vector::new(count) - above * slope;
    }
}

/// Computes the input's gradient from the output's gradient.
#[cube(launch)]
pub(crate) fn backward<F: Float, N: Size>(
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

/// Computes [`backward`] for the fixed wing alone, with ReLU's gradient taken from the sign of the output.
#[cube(launch)]
pub(crate) fn fixed_backward<F: Float, P: Float, N: Size>(
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

/// The gradient that ReLU passes on. As in PyTorch, it is 0 where the output is 0, and unchanged where the output is NaN.
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
