//! What the tests of the workspace share: processes, memory, open handles and files. Not published.

mod files;
mod handles;
mod memory;
mod process;

pub use files::{check_page, example, repository, shared};
pub use handles::{open_handles, threads};
pub use memory::{peak_memory, resident_memory};
pub use process::in_own_process;
