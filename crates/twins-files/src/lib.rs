//! Atomic and reproducible file writing: a file is written completely or not at all, and the same content
//! gives the same bytes. Names from files are shown so that they cannot act on a terminal.

mod safetensors_file;
mod shown;
mod whole;

pub use safetensors_file::safetensors_bytes;
pub use shown::{escaped, one_line, shortened};
pub use whole::{WholeFile, write_whole};
