//! Atomic and reproducible file writing: a file is written completely or not at all, and the same content
//! gives the same bytes. Also locks that end with their process.

mod atomic;
mod lock;
mod safetensors_file;

pub use atomic::{AtomicFile, write_atomic};
pub use lock::{LockError, ProcessLock};
pub use safetensors_file::safetensors_bytes;
