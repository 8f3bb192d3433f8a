//! The model that an experiment starts from: its file, its architecture and its head.

mod file_hash;
mod head;
mod load;

pub use file_hash::FileHash;
pub(crate) use head::ChosenHead;
pub(crate) use load::InitialNet;
pub use load::{check_classes, read_card, resolve_architecture};
