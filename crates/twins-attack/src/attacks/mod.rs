//! The attacks, a folder each. Every one is asynchronous code about one sample, in the order of its paper's algorithm.

pub(crate) mod apgd;
pub(crate) mod fab;
pub(crate) mod pgd;
pub(crate) mod registry;
pub(crate) mod square;
