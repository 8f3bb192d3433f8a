//! Evaluation of tiles of images at the points.

use std::array;
use std::marker::PhantomData;

use macerator::Simd;

use super::transform::Method;
use crate::kernels::simd::{CHANNELS, Values, load, splat, store};

/// An image with the channels last.
#[derive(Clone, Copy)]
pub(super) struct Image<'a> {
    pub(super) values: &'a [f32],
    /// Rows and columns.
    pub(super) size: [usize; 2],
    pub(super) channels: usize,
}

/// Evaluates a tile of `SIDE` rows and columns at the points, along one axis.
pub(super) trait Tile<const SIDE: usize, const POINTS: usize> {
    fn at_points<S: Simd>(values: [Values<S>; SIDE]) -> [Values<S>; POINTS];
}

/// The inputs of a tile of outputs: Bᵀ d B.
pub(super) struct Inputs<M, const TILE: usize>(PhantomData<M>);

impl<M: Method<TILE, POINTS>, const TILE: usize, const POINTS: usize> Tile<POINTS, POINTS>
    for Inputs<M, TILE>
{
    #[inline(always)]
    fn at_points<S: Simd>(values: [Values<S>; POINTS]) -> [Values<S>; POINTS] {
        M::inputs_at_points::<S>(values)
    }
}

/// The gradients of the outputs of a tile: A y Aᵀ.
pub(super) struct Gradients<M>(PhantomData<M>);

impl<M: Method<TILE, POINTS>, const TILE: usize, const POINTS: usize> Tile<TILE, POINTS> for Gradients<M> {
    #[inline(always)]
    fn at_points<S: Simd>(values: [Values<S>; TILE]) -> [Values<S>; POINTS] {
        M::gradients_at_points::<S>(values)
    }
}

impl Image<'_> {
    /// Writes all channels of the tile whose first pixel is `[row, column]` of the image with `before` rows and columns of zeros before
    /// it.
    ///
    /// `steps` are the distances from one point to the next, and from one block of [`CHANNELS`] channels to the next, in values.
    #[inline(always)]
    pub(super) fn evaluate<S: Simd, T: Tile<SIDE, POINTS>, const SIDE: usize, const POINTS: usize>(
        &self,
        [row, column]: [usize; 2],
        before: [usize; 2],
        to: &mut [f32],
        steps: [usize; 2],
    ) {
        let Self { values, size: [height, width], channels } = *self;
        let pixels: [[Option<usize>; SIDE]; SIDE] = array::from_fn(|y| {
            array::from_fn(|x| {
                let [y, x] = [(row + y).checked_sub(before[0])?, (column + x).checked_sub(before[1])?];
                (y < height && x < width).then_some((y * width + x) * channels)
            })
        });
        for channel in (0..channels).step_by(S::lanes32()) {
            let mut columns = [[splat::<S>(0.0); POINTS]; SIDE];
            for x in 0..SIDE {
                let mut column = [splat::<S>(0.0); SIDE];
                for y in 0..SIDE {
                    if let Some(pixel) = pixels[y][x] {
                        column[y] = load::<S>(&values[pixel + channel..]);
                    }
                }
                columns[x] = T::at_points::<S>(column);
            }
            for y in 0..POINTS {
                let mut row = [splat::<S>(0.0); SIDE];
                for x in 0..SIDE {
                    row[x] = columns[x][y];
                }
                for (x, value) in T::at_points::<S>(row).into_iter().enumerate() {
                    let block = channel / CHANNELS * steps[1] + channel % CHANNELS;
                    store::<S>(value, &mut to[(y * POINTS + x) * steps[0] + block..]);
                }
            }
        }
    }
}
