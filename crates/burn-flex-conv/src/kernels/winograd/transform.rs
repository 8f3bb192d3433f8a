//! The transformation matrices of the methods, along one axis.

use macerator::Simd;

use crate::kernels::simd::{Values, splat};

/// A method that computes `TILE` outputs along an axis from values at `POINTS` = `TILE` + 2 points.
pub(crate) trait Method<const TILE: usize, const POINTS: usize>: Send + Sync {
    /// Computes three weights at the points (the rows of G).
    fn weights_at_points<S: Simd>(weights: [Values<S>; 3]) -> [Values<S>; POINTS];

    /// Computes the gradient of three weights from the gradient of their values at the points (the rows of
    /// Gᵀ).
    fn weights_of_points<S: Simd>(values: [Values<S>; POINTS]) -> [Values<S>; 3];

    /// Computes the inputs at the points (the rows of Bᵀ).
    fn inputs_at_points<S: Simd>(inputs: [Values<S>; POINTS]) -> [Values<S>; POINTS];

    /// Computes the gradients of the outputs at the points (the rows of A).
    fn gradients_at_points<S: Simd>(gradients: [Values<S>; TILE]) -> [Values<S>; POINTS];

    /// Computes the outputs from their values at the points (the rows of Aᵀ).
    fn outputs_of_points<S: Simd>(values: [Values<S>; POINTS]) -> [Values<S>; TILE];
}

/// F(2 × 2, 3 × 3), with the points 0, ±1 and infinity.
pub(crate) struct Small;

impl Method<2, 4> for Small {
    #[inline(always)]
    fn weights_at_points<S: Simd>([a, b, c]: [Values<S>; 3]) -> [Values<S>; 4] {
        let half = splat::<S>(0.5);
        let (even, odd) = ((a + c) * half, b * half);
        [a, even + odd, even - odd, c]
    }

    #[inline(always)]
    fn weights_of_points<S: Simd>([zero, plus, minus, infinity]: [Values<S>; 4]) -> [Values<S>; 3] {
        let half = splat::<S>(0.5);
        let even = (plus + minus) * half;
        [zero + even, (plus - minus) * half, even + infinity]
    }

    #[inline(always)]
    fn inputs_at_points<S: Simd>([a, b, c, d]: [Values<S>; 4]) -> [Values<S>; 4] {
        [a - c, c + b, c - b, d - b]
    }

    #[inline(always)]
    fn gradients_at_points<S: Simd>([a, b]: [Values<S>; 2]) -> [Values<S>; 4] {
        [a, a + b, a - b, b]
    }

    #[inline(always)]
    fn outputs_of_points<S: Simd>([zero, plus, minus, infinity]: [Values<S>; 4]) -> [Values<S>; 2] {
        [zero + (plus + minus), (plus - minus) + infinity]
    }
}

/// F(4 × 4, 3 × 3), with the points 0, ±[`NEAR`], ±[`FAR`] and infinity.
pub(crate) struct Large;

const NEAR: f32 = 0.75;
const FAR: f32 = 1.5;

/// Factors of the weights at `±NEAR`, at `±FAR` and at 0.
const NEAR_SCALE: f32 = 0.5 / (NEAR * NEAR * (NEAR * NEAR - FAR * FAR));
const FAR_SCALE: f32 = 0.5 / (FAR * FAR * (FAR * FAR - NEAR * NEAR));
const ZERO_SCALE: f32 = 1.0 / (NEAR * NEAR * FAR * FAR);

impl Method<4, 6> for Large {
    #[inline(always)]
    fn weights_at_points<S: Simd>([a, b, c]: [Values<S>; 3]) -> [Values<S>; 6] {
        let (even, odd) = (c.mul_add(splat::<S>(NEAR * NEAR), a), b * splat::<S>(NEAR));
        let scale = splat::<S>(NEAR_SCALE);
        let (near_plus, near_minus) = ((even + odd) * scale, (even - odd) * scale);
        let (even, odd) = (c.mul_add(splat::<S>(FAR * FAR), a), b * splat::<S>(FAR));
        let scale = splat::<S>(FAR_SCALE);
        let (far_plus, far_minus) = ((even + odd) * scale, (even - odd) * scale);
        [a * splat::<S>(ZERO_SCALE), near_plus, near_minus, far_plus, far_minus, c]
    }

    #[inline(always)]
    fn weights_of_points<S: Simd>(values: [Values<S>; 6]) -> [Values<S>; 3] {
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

    #[inline(always)]
    fn inputs_at_points<S: Simd>([a, b, c, d, e, f]: [Values<S>; 6]) -> [Values<S>; 6] {
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

    #[inline(always)]
    fn gradients_at_points<S: Simd>([a, b, c, d]: [Values<S>; 4]) -> [Values<S>; 6] {
        let even = c.mul_add(splat::<S>(NEAR * NEAR), a);
        let odd = d.mul_add(splat::<S>(NEAR * NEAR * NEAR), b * splat::<S>(NEAR));
        let (near_plus, near_minus) = (even + odd, even - odd);
        let even = c.mul_add(splat::<S>(FAR * FAR), a);
        let odd = d.mul_add(splat::<S>(FAR * FAR * FAR), b * splat::<S>(FAR));
        [a, near_plus, near_minus, even + odd, even - odd, d]
    }

    #[inline(always)]
    fn outputs_of_points<S: Simd>(values: [Values<S>; 6]) -> [Values<S>; 4] {
        let [zero, near_plus, near_minus, far_plus, far_minus, infinity] = values;
        let (near, near_odd) = (near_plus + near_minus, near_plus - near_minus);
        let (far, far_odd) = (far_plus + far_minus, far_plus - far_minus);
        [
            zero + (near + far),
            far_odd.mul_add(splat::<S>(FAR), near_odd * splat::<S>(NEAR)),
            far.mul_add(splat::<S>(FAR * FAR), near * splat::<S>(NEAR * NEAR)),
            far_odd.mul_add(
                splat::<S>(FAR * FAR * FAR),
                near_odd.mul_add(splat::<S>(NEAR * NEAR * NEAR), infinity),
            ),
        ]
    }
}
