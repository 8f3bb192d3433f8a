//! Export of weights for PyTorch, with the published entry names.

pub(crate) mod weights;
