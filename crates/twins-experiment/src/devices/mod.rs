//! Devices by name, and the memory that a batch takes on them.

mod device;
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "cuda"))]
mod gpu;
mod memory;
mod remote;

pub use device::{DeviceChoice, DeviceError};
pub use memory::{BatchMemory, MemoryError, available_memory};
pub use remote::RemoteAddress;
