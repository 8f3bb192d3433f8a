//! What the tests and the benchmarks of all backends share. Not published.

mod devices;
#[cfg(feature = "remote")]
mod server;

pub use devices::devices;
#[cfg(feature = "remote")]
pub use server::Server;
