//! The matrices of the method, along one axis and for tiles.

use macerator::Simd;

use super::{POINTS, TILE};
use crate::kernels::simd::{Values, splat};

/// The points other than 0 and infinity are `±NEAR` and `±FAR`.
const NEAR: f32 = 0.75;
const FAR: f32 = 1.5;

/// The factors by which weights at `±NEAR` and `±FAR`, and at 0, are divided.
const NEAR_SCALE: f32 = 0.5 / (NEAR * NEAR * (NEAR * NEAR - FAR * FAR));
const FAR_SCALE: f32 = 0.5 / (FAR * FAR * (FAR * FAR - NEAR * NEAR));
const ZERO_SCALE: f32 = 1.0 / (NEAR * NEAR * FAR * FAR);

/// Three weights at the points: the rows of G.
#[inline(always)]
pub(super) fn weights_at_points<S: Simd>([a, b, c]: [Values<S>; 3]) -> [Values<S>; POINTS] {
    let (even, odd) = (c.mul_add(splat::<S>(NEAR * NEAR), a), b * splat::<S>(NEAR));
    let scale = splat::<S>(NEAR_SCALE);
    let (near_plus, near_minus) = ((even + odd) * scale, (even - odd) * scale);
    let (even, odd) = (c.mul_add(splat::<S>(FAR * FAR), a), b * splat::<S>(FAR));
    let scale = splat::<S>(FAR_SCALE);
    let (far_plus, far_minus) = ((even + odd) * scale, (even - odd) * scale);
    [a * splat::<S>(ZERO_SCALE), near_plus, near_minus, far_plus, far_minus, c]
}

/// The gradient of three weights from that of their values at the points: the rows of Gᵀ.
#[inline(always)]
pub(super) fn weights_of_points<S: Simd>(values: [Values<S>; POINTS]) -> [Values<S>; 3] {
    let [zero, near_plus, near_minus, far_plus, far_minus, infinity] = values;
    let (near_scale, far_scale) = (splat::<S>(NEAR_SCALE), splat::<S>(FAR_SCALE));
    let (near, near_odd) = ((near_plus + near_minus) * near_scale, (near_plus - near_minus) * near_scale);
    let (far, far_odd) = ((far_plus + far_minus) * far_scale, (far_plus - far_minus) * far_scale);
    [
        zero.mul_add(splat::<S>(ZERO_SCALE), near + far),
        far_odd.mul_add(splat::<S>(FAR), near_odd * splat::<S>(NEAR)),
        far.mul_add(splat::<S>(FAR * FAR), near.mul_add(splat::<S>(NEAR * NEAR), infinity)),
    ]
}

/// Six inputs at the points: the rows of Bᵀ.
#[inline(always)]
pub(super) fn inputs_at_points<S: Simd>([a, b, c, d, e, f]: [Values<S>; POINTS]) -> [Values<S>; POINTS] {
    let [near, far] = [NEAR * NEAR, FAR * FAR];
    let (sum, both) = (splat::<S>(-(near + far)), splat::<S>(near * far));
    let (even, odd) = (c.mul_add(splat::<S>(-far), e), b.mul_add(splat::<S>(-far), d));
    let near_plus = odd.mul_add(splat::<S>(NEAR), even);
    let near_minus = odd.mul_add(splat::<S>(-NEAR), even);
    let (even, odd) = (c.mul_add(splat::<S>(-near), e), b.mul_add(splat::<S>(-near), d));
    let far_plus = odd.mul_add(splat::<S>(FAR), even);
    let far_minus = odd.mul_add(splat::<S>(-FAR), even);
    let zero = a.mul_add(both, c.mul_add(sum, e));
    let infinity = b.mul_add(both, d.mul_add(sum, f));
    [zero, near_plus, near_minus, far_plus, far_minus, infinity]
}

/// The gradients of four outputs at the points: the rows of A.
#[inline(always)]
pub(super) fn gradients_at_points<S: Simd>([a, b, c, d]: [Values<S>; TILE]) -> [Values<S>; POINTS] {
    let even = c.mul_add(splat::<S>(NEAR * NEAR), a);
    let odd = d.mul_add(splat::<S>(NEAR * NEAR * NEAR), b * splat::<S>(NEAR));
    let (near_plus, near_minus) = (even + odd, even - odd);
    let even = c.mul_add(splat::<S>(FAR * FAR), a);
    let odd = d.mul_add(splat::<S>(FAR * FAR * FAR), b * splat::<S>(FAR));
    [a, near_plus, near_minus, even + odd, even - odd, d]
}

/// Four outputs of their values at the points: the rows of Aᵀ.
#[inline(always)]
pub(super) fn outputs_of_points<S: Simd>(values: [Values<S>; POINTS]) -> [Values<S>; TILE] {
    let [zero, near_plus, near_minus, far_plus, far_minus, infinity] = values;
    let (near, near_odd) = (near_plus + near_minus, near_plus - near_minus);
    let (far, far_odd) = (far_plus + far_minus, far_plus - far_minus);
    [
        zero + (near + far),
        far_odd.mul_add(splat::<S>(FAR), near_odd * splat::<S>(NEAR)),
        far.mul_add(splat::<S>(FAR * FAR), near * splat::<S>(NEAR * NEAR)),
        far_odd
            .mul_add(splat::<S>(FAR * FAR * FAR), near_odd.mul_add(splat::<S>(NEAR * NEAR * NEAR), infinity)),
    ]
}
