//! Merges the results of the units of a cube.

use burn_cubecl::cubecl;
use cubecl::prelude::*;

use super::Units;

/// Merges count, mean and sum of squared distances over all units of a channel. The first unit has the result.
///
/// The formula is by Chan, Golub and LeVeque, "Algorithms for computing the sample variance" (1983).
#[cube]
pub(super) fn merged_moments<N: Size>(
    count: f32,
    mean: Vector<f32, N>,
    square: Vector<f32, N>,
    #[comptime] units: Units,
) -> (f32, Vector<f32, N>, Vector<f32, N>) {
    let size = comptime!((units.along * units.across) as usize);
    let mut counts = Shared::<[f32]>::new_slice(size);
    let mut means = Shared::<[Vector<f32, N>]>::new_slice(size);
    let mut squares = Shared::<[Vector<f32, N>]>::new_slice(size);
    let unit = (UNIT_POS_Y * units.along + UNIT_POS_X) as usize;
    counts[unit] = count;
    means[unit] = mean;
    squares[unit] = square;
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
    (counts[unit], means[unit], squares[unit])
}

/// Merges two sums over all units of a channel. The first unit has the result.
#[cube]
pub(super) fn merged_sums<N: Size>(
    first: Vector<f32, N>,
    second: Vector<f32, N>,
    #[comptime] units: Units,
) -> (Vector<f32, N>, Vector<f32, N>) {
    let size = comptime!((units.along * units.across) as usize);
    let mut firsts = Shared::<[Vector<f32, N>]>::new_slice(size);
    let mut seconds = Shared::<[Vector<f32, N>]>::new_slice(size);
    let unit = (UNIT_POS_Y * units.along + UNIT_POS_X) as usize;
    firsts[unit] = first;
    seconds[unit] = second;
    let mut step = comptime!(units.across / 2).runtime();
    sync_cube();
    while step > 0 {
        if UNIT_POS_Y < step {
            let other = unit + (step * units.along) as usize;
            let (more, further) = (firsts[other], seconds[other]);
            firsts[unit] += more;
            seconds[unit] += further;
        }
        sync_cube();
        step /= 2;
    }
    (firsts[unit], seconds[unit])
}
