use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

use crate::remote::RemoteAddress;

/// A device named at run time, of a backend chosen at compile time by the crate's features.
///
/// | name | feature | what it is |
/// |---|---|---|
/// | `cpu` (or `flex`) | `flex` | the portable CPU backend, on all cores |
/// | `ndarray` | `ndarray` | Burn's older CPU backend, slow |
/// | `wgpu` | `wgpu` | the first GPU, through WGSL |
/// | `vulkan` | `vulkan` | the first GPU with a Vulkan driver, through SPIR-V |
/// | `cuda` | `cuda` | the first NVIDIA GPU |
/// | `remote:ADDRESS` | `remote` | a device that another machine serves at a [`RemoteAddress`] |
///
/// ```
/// use burn_twins::DeviceChoice;
///
/// let device = "cpu".parse::<DeviceChoice>()?.open()?;
/// assert!(!device.is_autodiff());
/// # Ok::<(), burn_twins::DeviceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DeviceChoice {
    /// The portable CPU backend.
    Cpu,
    /// Burn's older CPU backend.
    Ndarray,
    /// The first GPU, through WGSL.
    Wgpu,
    /// The first GPU with a Vulkan driver, through SPIR-V.
    Vulkan,
    /// The first NVIDIA GPU.
    Cuda,
    /// A device that another machine serves.
    Remote(RemoteAddress),
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device has this name.
    #[error("unknown device `{name}`; the devices are cpu, ndarray, wgpu, vulkan, cuda and remote:ADDRESS")]
    Unknown {
        /// The name that was given.
        name: String,
    },
    /// No server's address has this form.
    #[error(
        "remote device `remote:{text}`: {reason}; write remote:ws://HOST:PORT or remote:iroh://ID@HOST:PORT, with #N at \
         the end for the server's device number N"
    )]
    Address {
        /// What was given as the address.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The backend is not part of this binary.
    #[error(
        "device `{device}` is not compiled in (this binary has: {compiled}); build with `--features {}`",
        .device.feature()
    )]
    NotCompiled {
        /// The device that was asked for.
        device: DeviceChoice,
        /// The devices of this binary.
        compiled: String,
    },
    /// The backend is there, its hardware or driver is not.
    #[error("device `{device}` cannot be opened: {reason}; {remedy}")]
    Unavailable {
        /// The device that was asked for.
        device: DeviceChoice,
        /// What the driver said, or what was looked for and not found.
        reason: String,
        /// What to install or to use instead.
        remedy: &'static str,
    },
}

impl DeviceChoice {
    /// Every device of this machine that a build can have.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Ndarray, Self::Wgpu, Self::Vulkan, Self::Cuda];

    /// The feature of the crate `burn-twins` that brings the device.
    pub const fn feature(&self) -> &'static str {
        match self {
            Self::Cpu => "flex",
            Self::Ndarray => "ndarray",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Cuda => "cuda",
            Self::Remote(_) => "remote",
        }
    }

    /// Whether this binary has the backend.
    pub const fn is_compiled(&self) -> bool {
        match self {
            Self::Cpu => cfg!(feature = "flex"),
            Self::Ndarray => cfg!(feature = "ndarray"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Remote(_) => cfg!(feature = "remote"),
        }
    }

    /// This machine's devices of this binary.
    pub fn compiled() -> Vec<Self> {
        Self::ALL.into_iter().filter(Self::is_compiled).collect()
    }

    /// Opens the device, without autodiff.
    ///
    /// # Errors
    ///
    /// If the backend is not compiled in, its driver or hardware is missing, or the server does not answer (within 30 s) or
    /// refuses.
    pub fn open(&self) -> Result<Device, DeviceError> {
        match self {
            #[cfg(feature = "flex")]
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "ndarray")]
            #[allow(deprecated)] // Deprecated by Burn; kept for those who ask for it.
            Self::Ndarray => Ok(Device::ndarray()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => gpu::wgpu(),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => gpu::vulkan(),
            #[cfg(feature = "cuda")]
            Self::Cuda => gpu::cuda(),
            #[cfg(feature = "remote")]
            Self::Remote(address) => address.open(),
            #[allow(unreachable_patterns)] // Reached where a feature is off.
            device => Err(DeviceError::NotCompiled {
                device: device.clone(),
                compiled: Self::compiled().iter().map(Self::to_string).collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "cuda"))]
mod gpu {
    use super::{Device, DeviceChoice, DeviceError};

    /// A runtime can be initialised once per process: the outcome is kept.
    #[cfg(any(feature = "wgpu", feature = "vulkan"))]
    fn init_once(
        cell: &std::sync::OnceLock<Result<Device, String>>,
        device: DeviceChoice,
        api: burn::tensor::wgpu::WgpuBackend,
    ) -> Result<Device, DeviceError> {
        cell.get_or_init(|| {
            Device::wgpu_options().graphics_api(api).init().map_err(|error| error.to_string())
        })
        .clone()
        .map_err(|reason| DeviceError::Unavailable {
            device,
            reason,
            remedy: "install the GPU's Vulkan driver (Mesa's software driver: mesa-vulkan-drivers and \
                     libvulkan1), or use `--device cpu`",
        })
    }

    #[cfg(feature = "wgpu")]
    pub(super) fn wgpu() -> Result<Device, DeviceError> {
        static DEVICE: std::sync::OnceLock<Result<Device, String>> = std::sync::OnceLock::new();
        init_once(&DEVICE, DeviceChoice::Wgpu, burn::tensor::wgpu::WgpuBackend::Auto)
    }

    #[cfg(feature = "vulkan")]
    pub(super) fn vulkan() -> Result<Device, DeviceError> {
        static DEVICE: std::sync::OnceLock<Result<Device, String>> = std::sync::OnceLock::new();
        init_once(&DEVICE, DeviceChoice::Vulkan, burn::tensor::wgpu::WgpuBackend::Vulkan)
    }

    /// Burn panics where the driver is missing, so its trace on the system is looked for first.
    #[cfg(feature = "cuda")]
    pub(super) fn cuda() -> Result<Device, DeviceError> {
        const TRACES: [&str; 3] = ["/dev/nvidiactl", "/dev/dxg", "C:\\Windows\\System32\\nvcuda.dll"];
        match TRACES.iter().any(|path| std::path::Path::new(path).exists()) {
            true => Ok(Device::cuda(0)),
            false => Err(DeviceError::Unavailable {
                device: DeviceChoice::Cuda,
                reason: format!("none of {} exists", TRACES.join(", ")),
                remedy: "install NVIDIA's driver, or use `--device cpu`",
            }),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        if let Some(address) = name.strip_prefix("remote:") {
            return Ok(Self::Remote(address.parse()?));
        }
        match name {
            "cpu" | "flex" => Ok(Self::Cpu),
            "ndarray" => Ok(Self::Ndarray),
            "wgpu" => Ok(Self::Wgpu),
            "vulkan" => Ok(Self::Vulkan),
            "cuda" => Ok(Self::Cuda),
            _ => Err(DeviceError::Unknown { name: name.to_owned() }),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Ndarray => "ndarray",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Cuda => "cuda",
            Self::Remote(address) => return write!(f, "remote:{address}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let remote = DeviceChoice::Remote("ws://gpu:3000#1".parse().expect("an address"));
        for device in DeviceChoice::ALL.into_iter().chain([remote]) {
            assert_eq!(device.to_string().parse::<DeviceChoice>().expect("its own name"), device);
        }
    }

    #[test]
    fn an_unknown_device_is_named_beside_the_known_ones() {
        let error = "tpu".parse::<DeviceChoice>().expect_err("not a device").to_string();
        assert!(error.contains("`tpu`") && error.contains("wgpu"), "{error}");
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
