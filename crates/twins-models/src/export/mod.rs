//! Weights for PyTorch, with the published names.

pub(crate) mod weights;
