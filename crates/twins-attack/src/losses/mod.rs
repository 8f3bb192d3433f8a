//! What attacks maximise, as functions of the logits with their derivatives.

pub(crate) mod loss;
