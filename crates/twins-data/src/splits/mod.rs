//! Selection of samples: limits, subsets, and the split of samples or whole groups into training and validation.

mod group_split;
pub(crate) mod grouping;
pub(crate) mod limit;
pub(crate) mod split;
pub(crate) mod subset;
