//! The arithmetic, on slices.
//!
//! In general, images are copied, a few at a time, into padded blocks of channels ([`planes`]). Every value is then multiplied with the
//! weights of as many outputs as the registers hold ([`correlation`]).
//!
//! Some sizes have their own methods. Kernels of 3 × 3 weights with many channels need fewer multiplications ([`winograd`]). Kernels of one
//! weight are products of matrices ([`pointwise`]), and so are dense layers ([`dense`], [`matrix`]). Images with few channels stay in
//! compact planes ([`few_channels`]), and so does their gradient ([`scatter`]).
//!
//! Results have the channels last.

mod addend;
mod batch;
mod convolution;
mod correlation;
mod dense;
mod few_channels;
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
