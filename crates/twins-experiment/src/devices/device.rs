use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "cuda"))]
use super::gpu;
use super::remote::RemoteAddress;

/// A device that is selected by name at run time. The crate's features determine the available backends.
///
/// | name | feature | what it is |
/// |---|---|---|
/// | `cpu` (or `flex`) | `flex` | the portable CPU backend, on all cores |
/// | `ndarray` | `ndarray` | Burn's older CPU backend, slow |
/// | `wgpu`, `wgpu:N` | `wgpu` | a GPU, through WGSL |
/// | `vulkan`, `vulkan:N` | `vulkan` | a GPU with a Vulkan driver, through SPIR-V |
/// | `cuda`, `cuda:N` | `cuda` | an NVIDIA GPU |
/// | `remote:ADDRESS` | `remote` | a device that another machine serves at a [`RemoteAddress`] |
///
/// N is the number of a GPU, counted from 0; `wgpu` and `vulkan` count only discrete GPUs. Without N, `wgpu` and `vulkan` use the GPU that
/// the system prefers, of any kind, and `cuda` uses GPU 0.
///
/// ```
/// use twins_experiment::DeviceChoice;
///
/// let device = "cpu".parse::<DeviceChoice>()?.open()?;
/// assert!(!device.is_autodiff());
/// # Ok::<(), twins_experiment::DeviceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The portable CPU backend.
    Cpu,
    /// Burn's older CPU backend.
    Ndarray,
    /// The preferred GPU, or the discrete one of this number, through WGSL.
    Wgpu(Option<usize>),
    /// The preferred GPU with a Vulkan driver, or the discrete one of this number, through SPIR-V.
    Vulkan(Option<usize>),
    /// The NVIDIA GPU of this number, or the first one.
    Cuda(Option<usize>),
    /// A device that another machine serves.
    Remote(RemoteAddress),
}

/// The reason why a device cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device has this name.
    #[error(
        "unknown device `{name}`; the devices are cpu, ndarray, wgpu, vulkan, cuda and remote:ADDRESS, with :N behind wgpu, \
         vulkan or cuda for the GPU number N"
    )]
    Unknown {
        /// The name that was given.
        name: String,
    },
    /// The text is not the address of a server.
    #[error(
        "remote device `remote:{text}`: {reason}; write remote:ws://HOST:PORT or remote:iroh://ID@HOST:PORT, with #N at \
         the end for the server's device number N"
    )]
    Address {
        /// The given address.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The token for a server cannot be used.
    #[error("the token in {place}: {reason}; {remedy}")]
    Token {
        /// The environment variable or the file.
        place: String,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The server of a remote device does not respond any more.
    #[error(
        "the server of device `{device}` does not respond: it hangs, or the network is interrupted; what was saved is intact, so \
         start the server again or name other devices, and repeat the command (with --resume, except for a study)"
    )]
    Lost {
        /// The device.
        device: Box<DeviceChoice>,
    },
    /// The backend is not part of this binary.
    #[error(
        "device `{device}` is not compiled in (this binary has: {compiled}; found on this machine: {present}); build with \
         `--features {}`",
        .device.feature()
    )]
    NotCompiled {
        /// The requested device.
        device: Box<DeviceChoice>,
        /// The devices of this binary.
        compiled: String,
        /// The devices of this binary that exist on this machine.
        present: String,
    },
    /// The backend is compiled in, but its hardware or driver is missing.
    #[error("device `{device}` cannot be opened: {reason}; {remedy}")]
    Unavailable {
        /// The requested device.
        device: Box<DeviceChoice>,
        /// The error of the driver, or what was not found.
        reason: String,
        /// What to install, or what to use instead.
        remedy: &'static str,
    },
}

impl DeviceChoice {
    /// Every kind of local device that a build can support.
    pub const ALL: [Self; 5] =
        [Self::Cpu, Self::Ndarray, Self::Wgpu(None), Self::Vulkan(None), Self::Cuda(None)];

    /// Whether the device is this machine's CPU, which uses Rayon's threads and the system's memory.
    pub const fn is_cpu(&self) -> bool {
        matches!(self, Self::Cpu | Self::Ndarray)
    }

    /// The feature of the crate `burn-twins` that enables the device.
    pub const fn feature(&self) -> &'static str {
        match self {
            Self::Cpu => "flex",
            Self::Ndarray => "ndarray",
            Self::Wgpu(_) => "wgpu",
            Self::Vulkan(_) => "vulkan",
            Self::Cuda(_) => "cuda",
            Self::Remote(_) => "remote",
        }
    }

    /// Whether this binary has the backend.
    pub const fn is_compiled(&self) -> bool {
        match self {
            Self::Cpu => cfg!(feature = "flex"),
            Self::Ndarray => cfg!(feature = "ndarray"),
            Self::Wgpu(_) => cfg!(feature = "wgpu"),
            Self::Vulkan(_) => cfg!(feature = "vulkan"),
            Self::Cuda(_) => cfg!(feature = "cuda"),
            Self::Remote(_) => cfg!(feature = "remote"),
        }
    }

    /// This machine's devices of this binary.
    pub fn compiled() -> Vec<Self> {
        Self::ALL.into_iter().filter(Self::is_compiled).collect()
    }

    /// Whether this binary has the backend, and this machine has the hardware and its driver. For a remote device, only the backend is
    /// checked, because the server is not contacted.
    pub fn is_present(&self) -> bool {
        match self {
            #[cfg(feature = "wgpu")]
            Self::Wgpu(number) => gpu::has_wgpu(*number, burn::tensor::DeviceType::Wgpu, Device::wgpu),
            #[cfg(feature = "vulkan")]
            Self::Vulkan(number) => gpu::has_wgpu(*number, burn::tensor::DeviceType::Vulkan, Device::vulkan),
            #[cfg(feature = "cuda")]
            Self::Cuda(number) => gpu::cuda_count().is_ok_and(|count| count > number.unwrap_or(0)),
            device => device.is_compiled(),
        }
    }

    /// The devices of this binary that this machine has.
    pub fn present() -> Vec<Self> {
        Self::ALL.into_iter().filter(Self::is_present).collect()
    }

    /// Opens the device, without autodiff.
    ///
    /// # Errors
    ///
    /// If the backend is not compiled in, its driver or hardware is missing, or the server refuses the connection or does not answer within
    /// 30 s.
    pub fn open(&self) -> Result<Device, DeviceError> {
        match self {
            #[cfg(feature = "flex")]
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "ndarray")]
            #[allow(deprecated)] // Deprecated by Burn; kept for those who ask for it.
            Self::Ndarray => Ok(Device::ndarray()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(number) => {
                gpu::wgpu(self, *number, burn::tensor::wgpu::WgpuBackend::Auto, Device::wgpu)
            }
            #[cfg(feature = "vulkan")]
            Self::Vulkan(number) => {
                gpu::wgpu(self, *number, burn::tensor::wgpu::WgpuBackend::Vulkan, Device::vulkan)
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(number) => gpu::cuda(self, *number),
            #[cfg(feature = "remote")]
            Self::Remote(address) => address.open(),
            #[allow(unreachable_patterns)] // Reached where a feature is off.
            device => Err(DeviceError::NotCompiled {
                device: Box::new(device.clone()),
                compiled: names(&Self::compiled()),
                present: names(&Self::present()),
            }),
        }
    }
}

fn names(devices: &[DeviceChoice]) -> String {
    match devices {
        [] => "none".to_owned(),
        _ => devices.iter().map(DeviceChoice::to_string).collect::<Vec<_>>().join(", "),
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        if let Some(address) = name.strip_prefix("remote:") {
            return Ok(Self::Remote(address.parse()?));
        }
        let unknown = || DeviceError::Unknown { name: name.to_owned() };
        let (kind, number) = match name.split_once(':') {
            Some((kind, number)) => (kind, Some(number.parse().map_err(|_| unknown())?)),
            None => (name, None),
        };
        match kind {
            "cpu" | "flex" if number.is_none() => Ok(Self::Cpu),
            "ndarray" if number.is_none() => Ok(Self::Ndarray),
            "wgpu" => Ok(Self::Wgpu(number)),
            "vulkan" => Ok(Self::Vulkan(number)),
            "cuda" => Ok(Self::Cuda(number)),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = DeviceError;

    fn try_from(name: String) -> Result<Self, DeviceError> {
        name.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(device: DeviceChoice) -> Self {
        device.to_string()
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Remote(address) => write!(f, "remote:{address}"),
            Self::Wgpu(Some(number)) | Self::Vulkan(Some(number)) | Self::Cuda(Some(number)) => {
                write!(f, "{}:{number}", self.feature())
            }
            _ => f.write_str(self.feature()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let remote = DeviceChoice::Remote("ws://gpu:3000#1".parse().expect("an address"));
        let numbered = [DeviceChoice::Wgpu(Some(0)), DeviceChoice::Cuda(Some(3)), remote];
        for device in DeviceChoice::ALL.into_iter().chain(numbered) {
            assert_eq!(device.to_string().parse::<DeviceChoice>().expect("its own name"), device);
        }
    }

    #[test]
    fn an_unknown_device_is_named_beside_the_known_ones() {
        for name in ["tpu", "tpu:1", "cpu:1", "cuda:", "cuda:x", "wgpu:-1", ""] {
            let error = name.parse::<DeviceChoice>().expect_err(name).to_string();
            assert!(error.contains(&format!("`{name}`")) && error.contains("wgpu"), "{error}");
        }
    }

    #[test]
    #[cfg(feature = "wgpu")]
    fn a_gpu_that_is_not_there_is_an_error_each_time() {
        for _ in 0..2 {
            let error = DeviceChoice::Wgpu(Some(4242)).open().expect_err("so many GPUs").to_string();
            assert!(error.contains("`wgpu:4242`") && error.contains("counted from 0"), "{error}");
        }
    }

    #[test]
    #[cfg(feature = "wgpu")]
    fn a_numbered_gpu_is_present_if_it_can_be_opened() {
        for number in [0, 1, 4242] {
            let device = DeviceChoice::Wgpu(Some(number));
            assert_eq!(device.is_present(), device.open().is_ok(), "{device}");
        }
    }

    #[test]
    fn what_is_present_can_be_opened() {
        for device in DeviceChoice::present() {
            device.open().expect("it is there");
        }
        assert_eq!(DeviceChoice::Cpu.is_present(), cfg!(feature = "flex"));
    }

    #[test]
    fn a_device_outside_the_build_says_how_to_get_it() {
        let remote = DeviceChoice::Remote("ws://gpu:3000".parse().expect("an address"));
        for device in DeviceChoice::ALL.into_iter().chain([remote]).filter(|device| !device.is_compiled()) {
            let error = device.open().expect_err("not compiled in").to_string();
            assert!(error.contains(&format!("--features {}`", device.feature())), "{error}");
        }
    }
}
