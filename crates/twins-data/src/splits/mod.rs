//! Choosing samples: limits, subsets, and the split into training and validation.

pub(crate) mod limit;
pub(crate) mod split;
pub(crate) mod subset;
