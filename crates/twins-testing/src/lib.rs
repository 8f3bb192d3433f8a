//! What the tests of the workspace share: processes, memory and files. Not published.

mod files;
mod memory;
mod process;

pub use files::{check_page, example, repository, shared};
pub use memory::{peak_memory, resident_memory};
pub use process::in_own_process;
