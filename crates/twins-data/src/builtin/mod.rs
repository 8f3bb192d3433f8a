//! Procedurally generated images: letters for pre-training, and digits for fine-tuning.

mod canvas;
pub(crate) mod dataset;
mod digits;
mod glyphs;
mod letters;
mod pen;
pub(crate) mod task;
