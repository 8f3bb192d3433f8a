use burn::tensor::Device;

use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::model::caller_device::computes_in_caller;

/// How samples are divided into calls of the model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batching {
    pub(super) batch_size: usize,
    /// `None`: as the device needs it.
    concurrent_calls: Option<usize>,
    /// `None`: as the device needs it.
    batches_in_flight: Option<usize>,
}

impl Batching {
    pub(super) const DEFAULT: Self =
        Self { batch_size: 100, concurrent_calls: None, batches_in_flight: None };

    /// # Errors
    /// [`SettingError::BatchSize`] if the batch size is 0.
    pub(super) fn with_batch_size(self, batch_size: usize) -> Result<Self, AttackError> {
        if batch_size == 0 { Err(SettingError::BatchSize.into()) } else { Ok(Self { batch_size, ..self }) }
    }

    pub(super) fn with_concurrent_calls(self, concurrent_calls: usize) -> Self {
        Self { concurrent_calls: Some(concurrent_calls.max(1)), ..self }
    }

    pub(super) fn with_batches_in_flight(self, batches_in_flight: usize) -> Self {
        Self { batches_in_flight: Some(batches_in_flight.max(1)), ..self }
    }

    /// The number of model calls into which a batch on this device is split.
    ///
    /// The default is one call per thread of Rayon's pool on a device that computes in the caller's thread, and one
    /// call on every other device.
    pub(super) fn concurrent_calls(&self, device: &Device) -> usize {
        let by_device = || if computes_in_caller(device) { rayon::current_num_threads() } else { 1 };
        self.concurrent_calls.unwrap_or_else(by_device)
    }

    /// The number of batches in flight on this device.
    ///
    /// The default is one on a device that computes in the caller's thread. On a device with its own queue, it is two:
    /// the device computes one batch while the host is busy with the other.
    pub(super) fn batches_in_flight(&self, device: &Device) -> usize {
        let by_device = || if computes_in_caller(device) { 1 } else { 2 };
        self.batches_in_flight.unwrap_or_else(by_device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_has_one_batch_in_flight_unless_told_otherwise() {
        let device = Device::flex();
        let in_flight = |batching: Batching| batching.batches_in_flight(&device);
        assert_eq!(in_flight(Batching::DEFAULT), 1);
        assert_eq!(in_flight(Batching::DEFAULT.with_batches_in_flight(3)), 3);
        assert_eq!(in_flight(Batching::DEFAULT.with_batches_in_flight(0)), 1);
    }

    #[test]
    fn the_cpu_has_one_call_per_thread_unless_told_otherwise() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let calls = |batching: Batching| pool.install(|| batching.concurrent_calls(&Device::flex()));
        assert_eq!(calls(Batching::DEFAULT), 3);
        assert_eq!(calls(Batching::DEFAULT.with_concurrent_calls(2)), 2);
        assert_eq!(calls(Batching::DEFAULT.with_concurrent_calls(0)), 1);
    }
}
