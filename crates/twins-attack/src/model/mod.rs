//! The model under attack: logits, input gradients, precision, and the checks that the model can be attacked.

pub(crate) mod at_precision;
pub(crate) mod caller_device;
pub(crate) mod classifier;
pub(crate) mod clean;
pub(crate) mod gradient;
pub(crate) mod inference_form;
pub(crate) mod precision;
pub(crate) mod surrogate;
