//! Atomic and reproducible file writing: a file is written completely or not at all, and the same content
//! gives the same bytes.

mod atomic;
mod safetensors_file;

pub use atomic::{AtomicFile, write_atomic};
pub use safetensors_file::safetensors_bytes;
