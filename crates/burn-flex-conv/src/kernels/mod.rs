//! The arithmetic, on slices.
//!
//! Images are copied, a few at a time, into blocks of channels with zeros around ([`planes`]); from there every value is multiplied by
//! the weights of as many outputs as the registers hold ([`correlation`]). Results are channels last.

mod batch;
mod correlation;
mod forward;
mod geometry;
mod input_gradient;
mod planes;
mod simd;
mod weight_gradient;

pub(crate) use batch::Outputs;
pub(crate) use forward::forward;
pub(crate) use geometry::Geometry;
pub(crate) use input_gradient::input_gradient;
pub(crate) use weight_gradient::{bias_gradient, weight_gradient};
