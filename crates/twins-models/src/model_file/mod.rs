//! Model files: safetensors with a card that describes the model.

pub(crate) mod card;
pub(crate) mod file;
pub(crate) mod held_out;
pub(crate) mod saved_checkpoint;
