//! How the workspace writes files: whole or not at all, and the same bytes for the same content.

mod safetensors_file;
mod whole;

pub use safetensors_file::safetensors_bytes;
pub use whole::{WholeFile, write_whole};
