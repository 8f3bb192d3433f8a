//! The perturbations that an attacker may make: norms, the balls around an image, and the geometry that attacks need.
//!
//! Each norm has its own file, which implements [`geometry::Geometry`]. To add a norm, write its file and add its
//! variant to [`norm::Norm`]; the compiler then lists the places that must handle it. Attacks declare the norms that
//! they support ([`norm::check_norm`]), so an existing attack refuses the new norm until it supports it.

pub(crate) mod geometry;
mod l0;
mod l1;
mod l2;
pub(crate) mod length;
mod linf;
pub(crate) mod norm;
pub(crate) mod position;
pub(crate) mod shrinkage;
pub(crate) mod threat_model;
