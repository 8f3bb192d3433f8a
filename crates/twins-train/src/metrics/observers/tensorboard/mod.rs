//! Event files for TensorBoard: checksums, records, events, and the observer that writes them.

mod crc32c;
mod event;
mod event_file;
mod observer;
mod record;

pub use observer::TensorBoardObserver;
