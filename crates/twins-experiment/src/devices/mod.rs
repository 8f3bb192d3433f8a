//! Devices by name, and the memory that a batch takes on them.

mod device;
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "cuda"))]
mod gpu;
mod memory;
mod private_file;
mod remote;
mod remote_token;
#[cfg(feature = "remote")]
mod server;
mod watch;
// It is pure arithmetic, which the tests of every build check.
#[cfg(any(test, feature = "remote"))]
mod wrong_tokens;

pub use device::{DeviceChoice, DeviceError};
pub use memory::{BatchMemory, MemoryError, available_memory};
pub use remote::RemoteAddress;
pub use remote_token::RemoteToken;
#[cfg(feature = "remote")]
pub use server::{DeviceServer, ServerAccess, ServerConfig, ServerError, ServerTransport};
pub use watch::{ServerWatch, watch_servers};
