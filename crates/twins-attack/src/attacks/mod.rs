//! The attacks, one folder each. Each attack is asynchronous code for one sample and follows the order of its paper's
//! algorithm.

pub(crate) mod apgd;
mod cosine;
pub(crate) mod ddn;
pub(crate) mod fab;
pub(crate) mod fmn;
pub(crate) mod nearest;
pub(crate) mod pgd;
pub(crate) mod registry;
pub(crate) mod sigma_zero;
pub(crate) mod square;
