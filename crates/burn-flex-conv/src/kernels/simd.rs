//! Vectors of single-precision values, of whatever length the processor has.

use std::array;

use macerator::{AutoArch, Scalar, Simd, Vector, WithSimd};

/// Values that a vector holds.
pub(crate) type Values<S> = Vector<S, f32>;

/// Channels that stand side by side in [planes](super::planes): the longest vector there is.
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

/// Values in a vector of this processor.
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
