//! The arithmetic, on slices.
//!
//! Images are copied, a few at a time, into blocks of channels with zeros around ([`planes`]); from there every value is multiplied by
//! the weights of as many outputs as the registers hold ([`correlation`]). Kernels of three by three weights with many channels take
//! fewer multiplications ([`winograd`]), and those of one weight are products of matrices ([`pointwise`]), as are dense layers ([`dense`],
//! [`matrix`]). Images of few channels stay in compact planes ([`few`]), and so does their gradient ([`scatter`]). Results are channels last.

mod addend;
mod batch;
mod convolution;
mod correlation;
mod dense;
mod few;
mod forward;
mod geometry;
mod input_gradient;
mod matrix;
mod planes;
mod pointwise;
mod product;
mod scatter;
mod simd;
mod sums;
mod weight_gradient;
mod winograd;

pub(crate) use addend::Addend;
pub(crate) use convolution::{Convolution, weight_gradient};
pub(crate) use geometry::Geometry;
pub(crate) use weight_gradient::bias_gradient;
