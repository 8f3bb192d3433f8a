//! Opens GPUs with errors; Burn alone would panic at the first operation.

use burn::tensor::Device;
#[cfg(any(feature = "wgpu", feature = "vulkan"))]
use burn::tensor::DeviceKind;

use super::device::{DeviceChoice, DeviceError};

/// Opens a GPU through wgpu: the preferred one, or the discrete one of this number. `of_kind` creates devices of `api`.
#[cfg(any(feature = "wgpu", feature = "vulkan"))]
pub(crate) fn wgpu(
    choice: &DeviceChoice,
    number: Option<usize>,
    api: burn::tensor::wgpu::WgpuBackend,
    of_kind: fn(DeviceKind) -> Device,
) -> Result<Device, DeviceError> {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, PoisonError};

    use burn::tensor::wgpu::WgpuInitError;

    type Opened = HashMap<DeviceChoice, Result<Device, String>>;
    /// A runtime can be initialised only once per process, so the outcome is kept.
    static OPENED: LazyLock<Mutex<Opened>> = LazyLock::new(Mutex::default);

    let kind = number.map_or(DeviceKind::DefaultDevice, DeviceKind::DiscreteGpu);
    let init = || {
        let options = Device::wgpu_options().graphics_api(api).device_kind(kind.clone());
        match options.init() {
            // The program has used the device before, which initialised its runtime.
            Err(WgpuInitError::Registration { .. }) => Ok(of_kind(kind)),
            outcome => outcome.map_err(|error| error.to_string()),
        }
    };
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = opened.entry(choice.clone()).or_insert_with(init).clone();
    outcome.map_err(|reason| DeviceError::Unavailable {
        device: Box::new(choice.clone()),
        reason,
        remedy: match number {
            None => {
                "install the GPU's Vulkan driver (Mesa's software driver: mesa-vulkan-drivers and libvulkan1), or use \
                 `--device cpu`"
            }
            Some(_) => "give the number of a discrete GPU, counted from 0, or leave the number out",
        },
    })
}

/// Whether there is any adapter, including software adapters, or the discrete GPU of this number. `of_kind` creates devices of `api`.
#[cfg(any(feature = "wgpu", feature = "vulkan"))]
pub(crate) fn has_wgpu(
    number: Option<usize>,
    api: burn::tensor::DeviceType,
    of_kind: fn(DeviceKind) -> Device,
) -> bool {
    let adapters = Device::enumerate(api);
    match number {
        Some(number) => adapters.contains(&of_kind(DeviceKind::DiscreteGpu(number))),
        None => !adapters.is_empty(),
    }
}

/// Opens an NVIDIA GPU; the first one unless another number is given.
#[cfg(feature = "cuda")]
pub(crate) fn cuda(choice: &DeviceChoice, number: Option<usize>) -> Result<Device, DeviceError> {
    let fault =
        |reason, remedy| DeviceError::Unavailable { device: Box::new(choice.clone()), reason, remedy };
    let count =
        cuda_count().map_err(|reason| fault(reason, "install NVIDIA's driver, or use `--device cpu`"))?;
    match number.unwrap_or(0) {
        number if number < count => Ok(Device::cuda(number)),
        _ => Err(fault(
            format!("the driver has {count} GPUs, counted from 0"),
            "give the number of one of them, or use `--device cpu`",
        )),
    }
}

/// The number of GPUs that the driver reports, or the reason why it cannot report one.
///
/// Burn panics if the driver is missing, so this function first checks whether it is installed.
#[cfg(feature = "cuda")]
pub(crate) fn cuda_count() -> Result<usize, String> {
    const TRACES: [&str; 3] = ["/dev/nvidiactl", "/dev/dxg", "C:\\Windows\\System32\\nvcuda.dll"];
    if !TRACES.iter().any(|path| std::path::Path::new(path).exists()) {
        return Err(format!("none of {} exists", TRACES.join(", ")));
    }
    // The driver may be installed but not work, as on WSL with a GPU of another vendor.
    let count = || Device::enumerate(burn::tensor::DeviceType::Cuda).len();
    std::panic::catch_unwind(count).map_err(|_| "the driver could not be asked for its GPUs".to_owned())
}
