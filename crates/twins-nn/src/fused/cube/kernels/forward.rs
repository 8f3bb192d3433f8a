//! The forward pass.

use burn_cubecl::cubecl;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::statistics::inverse_deviation;

/// Normalises every value with the line of its channel: a line of `fixed` in the rows before `first`, and of
/// `batch` in the rest.
#[cube(launch)]
pub(crate) fn forward<F: Float, N: Size>(
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

/// Computes [`forward`] for the fixed wing alone, from its statistics.
#[cube(launch)]
pub(crate) fn fixed_forward<F: Float, P: Float, N: Size>(
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

/// Applies the activation. It does not use `max`, which would turn NaN into 0.
#[cube]
fn activated<N: Size>(value: Vector<f32, N>, #[comptime] relu: bool) -> Vector<f32, N> {
    let mut activated = value;
    if comptime!(relu) {
        let zero = Vector::<f32, N>::new(0.0);
        activated = select_many(value.less_than(&zero), zero, value);
    }
    activated
}
