//! Event files for TensorBoard: records, events, and the observer that writes them.

mod event;
mod event_file;
mod observer;
mod record;

pub use observer::TensorBoardObserver;
