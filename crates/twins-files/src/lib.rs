//! Atomic and reproducible file writing: a file is written completely or not at all, and the same content
//! gives the same bytes. Also locks that end with their process, and names from files in a form that cannot act on a terminal.

mod atomic;
mod lock;
mod safetensors_file;
mod shown;

pub use atomic::{AtomicFile, check_replaceable, write_atomic};
pub use lock::{LockError, ProcessLock};
pub use safetensors_file::safetensors_bytes;
pub use shown::{changes_direction, escaped, one_line, shortened};
