use burn::backend::{Device as _, DispatchDeviceId};
use burn::tensor::Device;

/// Returns whether a device computes on the CPU, in the thread that calls the model. On such a device, several
/// concurrent calls use several cores. GPUs, remote machines and CubeCL's CPU runtime have their own threads and
/// queues.
///
/// Burn numbers its backends in the upper byte of a device's type.
pub(crate) fn computes_in_caller(device: &Device) -> bool {
    is_cpu_backend(device.as_dispatch().to_id().type_id)
}

fn is_cpu_backend(type_id: u16) -> bool {
    [DispatchDeviceId::Flex, DispatchDeviceId::NdArray].map(u16::from).contains(&(type_id >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_cpu_backends_compute_in_the_caller() {
        assert!(computes_in_caller(&Device::flex()));
        assert!(computes_in_caller(&Device::flex().autodiff()));
        for other in [DispatchDeviceId::Cube, DispatchDeviceId::Remote, DispatchDeviceId::LibTorch] {
            // The lower byte belongs to the backend.
            assert!(!is_cpu_backend(u16::from(other) << 8 | 4));
        }
    }
}
