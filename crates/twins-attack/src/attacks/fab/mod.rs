//! Fast adaptive boundary: the nearest point behind the decision boundary.

pub(crate) mod attack;
pub(crate) mod config;
mod hyperplane;
