//! The losses that attacks maximise, as functions of the logits, with their derivatives.

pub(crate) mod difference;
pub(crate) mod loss;
pub(crate) mod objective;
pub(crate) mod ranking;
