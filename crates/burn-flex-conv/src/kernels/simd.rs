//! Vectors of single-precision values, of the length that the processor supports.

use std::array;

use macerator::{AutoArch, Scalar, Simd, Vector, WithSimd};

/// A vector of values.
pub(crate) type Values<S> = Vector<S, f32>;

/// Number of contiguous channels in [planes](super::planes): the length of the longest vector.
pub(crate) const CHANNELS: usize = 16;

#[inline(always)]
pub(crate) fn load<S: Simd>(values: &[f32]) -> Values<S> {
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(&values[..S::lanes32()]))
}

#[inline(always)]
pub(crate) fn store<S: Simd>(vector: Values<S>, to: &mut [f32]) {
    to[..S::lanes32()].copy_from_slice(bytemuck::cast_slice(array::from_ref(&vector)));
}

#[inline(always)]
pub(crate) fn splat<S: Simd>(value: f32) -> Values<S> {
    value.splat::<S>()
}

/// Number of values in a vector of this processor.
pub(crate) fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self) -> usize {
            S::lanes32()
        }
    }
    AutoArch::new().dispatch(Lanes)
}
