//! Images that the program draws itself: letters to train on, and digits to fine-tune on.

mod canvas;
pub(crate) mod dataset;
mod digits;
mod glyphs;
mod letters;
mod pen;
pub(crate) mod task;
