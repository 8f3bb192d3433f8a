//! What the tests of the workspace share: comparisons, processes, memory, open handles, files, and damage to files. Not published.

mod counting;
mod difference;
mod files;
mod handles;
mod hostile;
mod memory;
mod mutations;
mod process;

pub use counting::{Counting, peak};
pub use difference::difference;
pub use files::{check_page, example, repository, shared, twins};
pub use handles::{open_handles, threads};
pub use hostile::{allowance, cases, check_message, each_damaged};
pub use memory::{peak_memory, resident_memory};
pub use mutations::Mutations;
pub use process::in_own_process;

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: Counting = Counting;
