//! Choosing samples: limits, subsets, and the split into training and validation, of samples or of whole groups.

mod group_split;
pub(crate) mod grouping;
pub(crate) mod limit;
pub(crate) mod split;
pub(crate) mod subset;
