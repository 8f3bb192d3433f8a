//! What the tests and the benchmarks of all backends share. Not published.

mod devices;
mod records;
#[cfg(feature = "remote")]
mod server;

pub use devices::devices;
pub use records::record;
#[cfg(feature = "remote")]
pub use server::Server;
